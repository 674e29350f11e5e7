"""Copying of files to the archive, on this machine or over ssh."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

TARGET: Final = re.compile(
    r"(?P<login>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?P<directory>/.*)"
)
"""Pattern of TARGET_LOCATION: login, at sign, address, colon, absolute directory."""

COPY_TIMEOUT_S: Final = 60.0
"""Limit for one file over the network; real files of 16 MB take a second."""

SCP_OPTIONS: Final = ("-q", "-p", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
"""No progress bar, keep times, never prompt for a password, give up on a dead host."""


class CopyError(Exception):
    """A file could not be copied; the text names the reason."""


@dataclass(frozen=True)
class Target:
    """The parts of a TARGET_LOCATION."""

    login: str
    host: str
    directory: str

    @classmethod
    def parse(cls, location: str) -> Target:
        """Return the parts of a location `login@ip:directory`.

        Raises
        ------
        CopyError
            If the location has another form.
        """
        match = TARGET.fullmatch(location)
        if match is None:
            raise CopyError(f"cannot copy to {location!r}: it is not login@address:/directory")
        return cls(
            login=match["login"], host=match["host"].strip("[]"), directory=match["directory"]
        )

    def path_of(self, filename: str) -> str:
        """Return the path of a file at the target.

        As with the real Forwarder, it has two slashes if the directory ends with one.
        """
        return f"{self.directory}/{filename}"

    def is_local(self, own_ip: str) -> bool:
        """Return whether the target is this machine."""
        return self.host in LOOPBACK or self.host in {own_ip, socket.gethostname()}


def copy(source: Path, target: Target, own_ip: str) -> None:
    """Copy one file to the target.

    Raises
    ------
    CopyError
        If the file cannot be copied.
    """
    if target.is_local(own_ip):
        try:
            shutil.copyfile(source, Path(target.path_of(source.name)))
        except OSError as error:
            raise CopyError(f"cannot copy {source.name} to {target.directory}: {error}") from error
        return
    # No shell, unlike the real Forwarder: shell characters in a directory name have no effect.
    command = [
        "scp",
        *SCP_OPTIONS,
        "--",
        str(source),
        f"{target.login}@{target.host}:{target.directory}/",
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=COPY_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        detail = (
            error.stderr.decode(errors="replace").strip()
            if isinstance(error, subprocess.CalledProcessError)
            else error
        )
        raise CopyError(
            f"cannot copy {source.name} to {target.host}:{target.directory} with scp: {detail}"
        ) from error
