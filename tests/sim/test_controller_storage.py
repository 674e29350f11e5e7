"""The Controller with staging trees that it cannot link into, and what follows their repair."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tests.sim import wire_samples
from tests.sim.mounts import READ_ONLY, may_mount, mount_for, seen_by, with_tmpfs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Body, Peer, Peers, SiteFolder

DAY = "2026-11-22"
CONTENT = b"pixels"
FEW_FILES = "nr_inodes=20"
"""Names in a file system; hard links on a tmpfs need one each."""

pytestmark = pytest.mark.skipif(not may_mount(), reason="no mounts in a name space here")


@pytest.fixture
def disk(site: SiteFolder) -> Path:
    """Return the folder of all staging trees."""
    folder = site.settings.archive.oods_staging.parent
    folder.mkdir(exist_ok=True)
    return folder


def arrive(site: SiteFolder, controller: Peer) -> Path:
    """Write a file as a Forwarder does; return its path as messages have it."""
    path = site.settings.archive.forwarder_staging / DAY / f"{wire_samples.IMAGE}-R22S00.fits"
    seen = seen_by(controller, path)
    seen.parent.mkdir(parents=True, exist_ok=True)
    seen.write_bytes(CONTENT)
    return path


def send(archiver: ArchiverEnd, path: Path) -> None:
    archiver.send("archive_ctrl_consume", wire_samples.file_transferred(str(path)))


def require_failure(report: Body, path: Path, number: int) -> None:
    """Check the status of a file that could not be linked."""
    assert (report["MSG_TYPE"], report["STATUS_CODE"]) == ("IMAGE_IN_OODS", 1)
    assert (report["OBSID"], report["FILENAME"]) == (wire_samples.IMAGE, str(path))
    assert report["DESCRIPTION"] == (
        f"could not link the file for the OODS: cannot link {path}: {os.strerror(number)}"
    )


def require_linked(archiver: ArchiverEnd, site: SiteFolder, controller: Peer, path: Path) -> None:
    """Check that a file that is announced again has both links and is requested from the OODS."""
    send(archiver, path)
    archive = site.settings.archive
    of_oods = archive.oods_staging / DAY / path.name
    assert archiver.receive("cc_publish_to_oods")["FILENAME"] == str(of_oods)
    for tree in (archive.oods_staging, archive.dbb_staging):
        assert seen_by(controller, tree / DAY / path.name).read_bytes() == CONTENT
    assert not seen_by(controller, path).exists()


def test_tree_of_the_backbone_on_another_file_system(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, disk: Path
) -> None:
    archiver.declare()
    dbb = disk / "dbb"
    dbb.mkdir()
    controller = peers.start("controller", within=with_tmpfs(dbb))
    path = arrive(site, controller)
    send(archiver, path)

    require_failure(archiver.receive("archive_ctrl_publish"), path, errno.EXDEV)
    assert seen_by(controller, path).read_bytes() == CONTENT
    assert archiver.depth("cc_publish_to_oods") == 0
    mount_for(controller, 'umount -l "$1"', dbb)
    require_linked(archiver, site, controller, path)


def test_read_only_tree(archiver: ArchiverEnd, peers: Peers, site: SiteFolder, disk: Path) -> None:
    archiver.declare()
    controller = peers.start("controller", within=with_tmpfs(disk))
    oods = disk / "oods"
    seen_by(controller, oods).mkdir()
    mount_for(controller, READ_ONLY, oods)
    path = arrive(site, controller)
    send(archiver, path)

    require_failure(archiver.receive("archive_ctrl_publish"), path, errno.EROFS)
    mount_for(controller, 'umount -l "$1"', oods)
    require_linked(archiver, site, controller, path)


def test_full_file_system(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, disk: Path
) -> None:
    archiver.declare()
    controller = peers.start("controller", within=with_tmpfs(disk, FEW_FILES))
    path = arrive(site, controller)
    fillers = fill_names(seen_by(controller, disk))
    send(archiver, path)

    require_failure(archiver.receive("archive_ctrl_publish"), path, errno.ENOSPC)
    for filler in fillers:
        filler.unlink()
    require_linked(archiver, site, controller, path)


def test_folder_in_the_place_of_a_link(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    controller = peers.start("controller")
    path = arrive(site, controller)
    obstacle = site.settings.archive.dbb_staging / DAY / path.name
    obstacle.mkdir(parents=True)
    send(archiver, path)

    require_failure(archiver.receive("archive_ctrl_publish"), path, errno.EISDIR)
    obstacle.rmdir()
    require_linked(archiver, site, controller, path)


def fill_names(folder: Path) -> list[Path]:
    """Create empty files until the file system has no place for another; return them."""
    made: list[Path] = []
    while True:
        filler = folder / f"filler{len(made)}"
        try:
            filler.touch()
        except OSError:
            return made
        made.append(filler)
