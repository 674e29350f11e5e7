"""The OODS with a repository on a file system that is full or read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sim.mounts import (
    READ_ONLY,
    fill,
    may_mount,
    mount_for,
    seen_by,
    with_tmpfs,
    within_mount,
)
from tests.sim.oods_files import IMAGE, repository_of, request, write_file
from tests.sim.peer_rig import LIMIT_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Peers, SiteFolder

REQUESTS = "cc_publish_to_oods"
REPORTS = "oods_publish_to_cc"

pytestmark = pytest.mark.skipif(not may_mount(), reason="no mounts in a name space here")


def test_oods_reports_a_full_disk_and_ingests_when_it_has_space(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, tmp_path: Path
) -> None:
    archiver.declare()
    disk = tmp_path / "disk"
    disk.mkdir()
    oods = peers.start(
        "oods",
        "--report-after",
        "0",
        "--repository",
        str(disk / "butler"),
        within=with_tmpfs(disk),
    )
    filler = fill(seen_by(oods, disk))
    path = write_file(site)
    archiver.send(REQUESTS, request(path))
    report = archiver.receive(REPORTS)
    assert report["STATUS_CODE"] == 1
    assert f"the Butler repository {disk / 'butler'} is on a full disk" in str(
        report["DESCRIPTION"]
    )
    filler.unlink()
    assert archiver.receive(REPORTS)["STATUS_CODE"] == 0
    assert path.is_file()


def test_oods_reports_a_read_only_repository_and_ingests_when_it_is_writable(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, tmp_path: Path
) -> None:
    archiver.declare()
    disk = tmp_path / "disk"
    disk.mkdir()
    root = disk / "butler"
    oods = peers.start(
        "oods", "--report-after", "0", "--repository", str(root), within=with_tmpfs(disk)
    )
    mount_for(oods, READ_ONLY, root)
    path = write_file(site)
    archiver.send(REQUESTS, request(path))
    report = archiver.receive(REPORTS)
    assert report["STATUS_CODE"] == 1
    assert f"{IMAGE}-R22S00.fits not ingested yet: the Butler repository {root} is read-only" in (
        str(report["DESCRIPTION"])
    )
    mount_for(oods, 'umount "$1"', root)
    assert archiver.receive(REPORTS)["STATUS_CODE"] == 0
    assert path.is_file()


def test_oods_does_not_start_with_a_read_only_repository(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("oods").stop()
    root = repository_of(site)
    read_only = within_mount(READ_ONLY, root)
    oods = peers.start("oods", within=read_only, wait_for_event=None)
    oods.wait_logged(f"oods: the Butler repository {root} is read-only")
    assert oods.process.wait_ended(LIMIT_S) == 1
