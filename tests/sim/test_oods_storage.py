"""The OODS with a repository on a file system that is full or read-only.

The file system is mounted in a name space of the peer alone, so it ends with the peer.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.sim.oods_files import IMAGE, repository_of, request, write_file
from tests.sim.peer_rig import LIMIT_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Peer, Peers, SiteFolder

REQUESTS = "cc_publish_to_oods"
REPORTS = "oods_publish_to_cc"
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")
SMALL = "size=3m"
"""Enough for an empty repository."""
READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"'
"""Makes a folder read-only for every file that is opened from now on."""


def may_mount() -> bool:
    """Return whether this machine allows mounts in a name space, as some containers do not."""
    probe = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not may_mount(), reason="no mounts in a name space here")


def within_mount(script: str, *words: object) -> list[str]:
    """Return a program that mounts with a script and then becomes the program that follows."""
    count = len(words)
    return [
        *OWN_MOUNTS,
        "sh",
        "-ec",
        f'{script}; shift {count}; exec "$@"',
        "sh",
        *(str(word) for word in words),
    ]


def with_tmpfs(folder: Path) -> list[str]:
    """Return a program that mounts a small file system before it becomes the peer."""
    return within_mount(f'mount -t tmpfs -o {SMALL} tmpfs "$1"', folder)


def mount_for(peer: Peer, script: str, folder: Path) -> None:
    """Change the mounts of a peer."""
    words = ["nsenter", "--target", str(peer.process.pid), "--user", "--mount"]
    subprocess.run([*words, "sh", "-ec", script, "sh", folder], check=True)


def seen_by(peer: Peer, path: Path) -> Path:
    """Return a path as a peer sees it, which has mounts of its own."""
    return type(path)(f"/proc/{peer.process.pid}/root{path}")


def fill(folder: Path) -> Path:
    """Fill a file system and return the file that fills it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


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
