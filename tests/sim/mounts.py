"""File systems that are mounted in a name space of one peer, so they end with the peer."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.peer_rig import Peer

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


def with_tmpfs(folder: Path, options: str = SMALL) -> list[str]:
    """Return a program that mounts a small file system before it becomes the peer."""
    return within_mount(f'mount -t tmpfs -o {options} tmpfs "$1"', folder)


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
