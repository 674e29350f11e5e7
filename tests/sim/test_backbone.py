"""The client of the data backbone takes, checks and stores files; no other peer needs its links."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.peers.backbone.place import store_of
from ccarchiver_sim.testbed.delivery_check import count_backbone_files
from tests.sim import wire_samples
from tests.sim.mounts import READ_ONLY, fill, may_mount, mount_for, seen_by, with_tmpfs
from tests.sim.oods_files import DAY, IMAGE, datasets, request, write_file
from tests.sim.peer_rig import LIMIT_S, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Peer, Peers, SiteFolder

LATER_S = "3600"
"""An interval or delay that never ends during a test."""
SMALL_STORE = "size=256k"
"""Less than a few raw files of the simulators."""


def linked(site: SiteFolder, sensor: str = "S00", exposure_time: float = 1.0) -> Path:
    """Write a raw file with links in both trees, as the Controller makes them; return the DBB's."""
    path = write_file(site, sensor, EXPTIME=exposure_time)
    archive = site.settings.archive
    link = archive.dbb_staging / path.relative_to(archive.oods_staging)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.hardlink_to(path)
    return link


def start(peers: Peers, *options: str, within: list[str] | None = None) -> Peer:
    fast = () if "--interval" in options else ("--interval", "0.02")
    return peers.start("backbone", *fast, *options, wait_for_event="ready", within=within or ())


def in_store(site: SiteFolder, link: Path) -> Path:
    staging = site.settings.archive.dbb_staging
    return store_of(staging) / link.relative_to(staging)


def of_oods(site: SiteFolder, link: Path) -> Path:
    archive = site.settings.archive
    return archive.oods_staging / link.relative_to(archive.dbb_staging)


def wait_taken(site: SiteFolder) -> None:
    """Wait until no file is left in the staging tree of the data backbone."""
    staging = site.settings.archive.dbb_staging
    wait_for("an empty tree", lambda: not list(staging.rglob("*.fits")) or None)


def test_a_file_is_stored_and_only_the_link_of_the_backbone_is_removed(
    peers: Peers, site: SiteFolder
) -> None:
    link = linked(site)
    content = link.read_bytes()
    start(peers)
    wait_taken(site)

    assert in_store(site, link).read_bytes() == content
    assert of_oods(site, link).read_bytes() == content


@pytest.mark.parametrize("store", ["dbb", "dbb/in", "dbb/../dbb/in", "", "link/in"])
def test_a_store_that_overlaps_the_staging_tree_is_rejected_in_one_line(
    peers: Peers, site: SiteFolder, store: str
) -> None:
    staging = site.settings.archive.dbb_staging
    link = linked(site)
    (staging.parent / "link").symlink_to(staging)
    backbone = peers.start("backbone", "--store", str(staging.parent / store), wait_for_event=None)
    assert backbone.process.wait_ended(LIMIT_S) == 1

    [line] = backbone.log.splitlines()
    assert line.startswith(f"backbone: --store {staging.parent / store}")
    assert str(staging) in line
    assert link.exists()


def test_a_file_that_waited_while_the_backbone_was_away_is_stored(
    peers: Peers, site: SiteFolder
) -> None:
    first, second = linked(site, "S00"), linked(site, "S01")
    killed = start(peers, "--delay", LATER_S)
    # It dies with the first file taken and not yet stored.
    wait_for("a taken file", lambda: not first.exists() or None)
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait_ended(60)
    assert second.exists()
    start(peers)
    wait_taken(site)

    assert [in_store(site, link).exists() for link in (first, second)] == [True, True]


def test_a_file_is_counted_wherever_the_backbone_has_it(peers: Peers, site: SiteFolder) -> None:
    staging = site.settings.archive.dbb_staging
    links = [linked(site, sensor) for sensor in ("S00", "S01", "S02")]
    slow = start(peers, "--delay", LATER_S)
    wait_for("a taken file", lambda: not links[0].exists() or None)
    assert count_backbone_files(staging, IMAGE) == 3
    assert slow.stop() == 0
    start(peers)
    wait_taken(site)

    assert count_backbone_files(staging, IMAGE) == 3


def test_a_newer_file_of_the_same_name_replaces_the_stored_one(
    peers: Peers, site: SiteFolder
) -> None:
    link = linked(site)
    backbone = start(peers)
    wait_taken(site)
    # A file that is written again differs: its checksums have the time.
    link.hardlink_to(of_oods(site, link))
    wait_taken(site)
    assert "replaces it" not in backbone.log
    newer = linked(site, exposure_time=2.0).read_bytes()
    wait_taken(site)

    assert in_store(site, link).read_bytes() == newer
    backbone.wait_logged("has other content than before, and replaces it")


def test_a_file_that_is_cut_off_is_not_stored(peers: Peers, site: SiteFolder) -> None:
    bad, good = linked(site, "S00"), linked(site, "S01")
    # A raw file consists of blocks of 2880 bytes.
    os.truncate(bad, bad.stat().st_size - 2880)
    start(peers).wait_event("stored")

    staging = site.settings.archive.dbb_staging
    assert not in_store(site, bad).exists()
    assert in_store(site, good).exists()
    assert (staging / ".rejected" / bad.relative_to(staging)).exists()
    assert of_oods(site, bad).exists()


@pytest.mark.skipif(not may_mount(), reason="no mounts in a name space here")
def test_a_full_store_keeps_the_files_until_it_has_space(
    peers: Peers, site: SiteFolder, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    backbone = start(peers, "--store", str(disk / "store"), within=with_tmpfs(disk, SMALL_STORE))
    filler = fill(seen_by(backbone, disk))
    links = [linked(site, sensor) for sensor in ("S00", "S01")]
    backbone.wait_logged(os.strerror(errno.ENOSPC))
    assert count_backbone_files(site.settings.archive.dbb_staging, IMAGE) == 2
    filler.unlink()
    wait_taken(site)

    names = sorted(path.name for path in seen_by(backbone, disk / "store" / DAY).iterdir())
    assert names == [link.name for link in links]


@pytest.mark.skipif(not may_mount(), reason="no mounts in a name space here")
def test_a_read_only_store_keeps_the_files_until_it_is_writable(
    peers: Peers, site: SiteFolder, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    backbone = start(peers, "--store", str(disk), within=with_tmpfs(disk))
    mount_for(backbone, READ_ONLY, disk)
    link = linked(site)
    backbone.wait_logged(os.strerror(errno.EROFS))
    assert count_backbone_files(site.settings.archive.dbb_staging, IMAGE) == 1
    mount_for(backbone, 'umount "$1"', disk)
    wait_taken(site)

    assert seen_by(backbone, disk / DAY / link.name).is_file()


def test_the_oods_ingests_a_file_that_the_backbone_took_before(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    link = linked(site)
    archiver.send("cc_publish_to_oods", request(of_oods(site, link)))
    start(peers)
    wait_taken(site)
    peers.start("oods")

    assert archiver.receive("oods_publish_to_cc")["STATUS_CODE"] == 0
    assert datasets(site) == {IMAGE: 1}


def test_controller_answers_a_repeated_message_after_the_backbone_took_the_file(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("controller")
    start(peers)
    archive = site.settings.archive
    arrived = archive.forwarder_staging / DAY / f"{IMAGE}-R22S00.fits"
    arrived.parent.mkdir(parents=True)
    write_file(site).rename(arrived)
    message = wire_samples.file_transferred(str(arrived), IMAGE)
    archiver.send("archive_ctrl_consume", message)
    first = archiver.receive("cc_publish_to_oods")
    wait_for("a stored file", (store_of(archive.dbb_staging) / DAY / arrived.name).exists)
    wait_taken(site)
    archiver.send("archive_ctrl_consume", message)

    assert archiver.receive("cc_publish_to_oods") == first
    assert archiver.depth("archive_ctrl_publish") == 0
