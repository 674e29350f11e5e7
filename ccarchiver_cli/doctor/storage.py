"""Checks of disk space and permissions: the staging trees and the log directory."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING

import psutil

from ccarchiver_cli.doctor.finding import failure, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.site_sections import Archive

LITTLE_IMAGES, FEW_IMAGES = 100, 10
"""Free space in images, below which the check warns or fails.

The first is about an hour of exposures, the second what arrives while an operator investigates.
"""

CCD_BYTES = 4_096 * 4_096 * 2 + 1_000_000
"""Size of a raw CCD file of 16-bit pixels, with overscan and headers."""

LITTLE_LOG, FEW_LOG = 1_000_000_000, 100_000_000
"""Free space for logs in bytes, below which the check warns or fails.

All log files of the three workers together have at most 0.5 GB.
"""

FEW_INODES = 10_000
"""Minimum number of free inodes; a night needs more."""

GIGABYTE = 1e9


def staging(site: Site) -> Iterator[Finding]:
    """Check the staging trees, if they are on this host."""
    name = "staging"
    archive = site.settings.archive
    image_bytes = site.settings.files_per_image * CCD_BYTES
    if not _is_here(archive.archive_ip):
        yield ok(
            name,
            f"on another host ({archive.archive_login}@{archive.archive_ip}), not checked: "
            "run `df -h` there",
        )
        return
    trees = {
        "FORWARDER_STAGING": archive.forwarder_staging,
        "OODS_STAGING": archive.oods_staging,
        "DBB_STAGING": archive.dbb_staging,
    }
    bad = [
        finding
        for key, path in trees.items()
        for finding in (
            *_folder(name, key, path, archive),
            *_room(name, path, LITTLE_IMAGES, FEW_IMAGES, image_bytes),
        )
    ]
    bad += _hard_links(name, trees)
    yield from bad
    if not bad:
        images = min(_free(path) for path in trees.values()) // image_bytes
        yield ok(name, f"three trees, writable, on one file system; room for {images:.0f} images")


def logs(site: Site) -> Iterator[Finding]:
    """Check the log directory."""
    name = "logs"
    folder = site.settings.log_dir
    if folder is None:
        yield warning(
            name,
            "logs go to standard error only",
            "set IIP_LOG_DIR for supervisord, or LOGGING_DIR",
        )
        return
    if not folder.is_dir():
        yield failure(name, f"{folder}: no such directory", f"install -d {folder}")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield failure(
            name,
            f"{folder}: {getpass.getuser()} may not write there",
            f"chown {getpass.getuser()} {folder}",
        )
        return
    bad = list(_room(name, folder, LITTLE_LOG, FEW_LOG, 1))
    yield from bad or [ok(name, f"{folder}: writable, {_free(folder) / GIGABYTE:.1f} GB free")]


def _is_here(address: str) -> bool:
    """Return whether an address belongs to this host."""
    own = {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(address, None)}
    except OSError:
        return False
    return bool(found & own)


def _folder(name: str, key: str, path: Path, archive: Archive) -> Iterator[Finding]:
    if not path.is_dir():
        yield failure(
            name,
            f"{key} {path}: no such directory",
            f"install -d -o {archive.archive_login} {path}",
        )
    elif not os.access(path, os.W_OK | os.X_OK):
        # A warning only: Forwarders copy with another login, and the Controller makes the links.
        yield warning(
            name,
            f"{key} {path}: {getpass.getuser()} may not write there; "
            f"can {archive.archive_login} and the Controller?",
            f"sudo -u {archive.archive_login} test -w {path} && echo yes",
        )


def _room(name: str, path: Path, little: int, few: int, unit: int) -> Iterator[Finding]:
    if not path.is_dir():
        return
    units = _free(path) // unit
    what = f"room for {units:.0f} images" if unit > 1 else f"{units / GIGABYTE:.2f} GB"
    if units < few:
        yield failure(name, f"{path}: only {what} left", f"df -h {path}; free some space")
    elif units < little:
        yield warning(name, f"{path}: only {what} left", f"df -h {path}; free some space")
    status = os.statvfs(path)
    # Some file systems have no fixed number of inodes: f_files is 0.
    if status.f_files and status.f_favail < FEW_INODES:
        found = f"{path}: only {status.f_favail} more files can be created"
        yield failure(name, found, f"df -i {path}; remove small files")


def _free(path: Path) -> float:
    status = os.statvfs(path)
    return float(status.f_bavail) * status.f_frsize


def _hard_links(name: str, trees: dict[str, Path]) -> list[Finding]:
    """Check whether the Controller can link a file from one tree into the others."""
    there = {key: path for key, path in trees.items() if path.is_dir()}
    devices = {path.stat().st_dev for path in there.values()}
    if len(devices) <= 1:
        return []
    return [
        failure(
            name,
            "the staging trees are on several file systems: the Controller cannot hard-link "
            "between them, so no file reaches the OODS",
            f"df {' '.join(str(path) for path in there.values())}; move them to one file system",
        )
    ]
