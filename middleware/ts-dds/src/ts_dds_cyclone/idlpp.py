"""The command ``idlpp -v``, which salobj's get_opensplice_version runs for the DDS version.

OpenSplice's IDL compiler is not part of this package. If the genuine command is on the PATH, it is
run instead.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

__all__ = ["main"]


def _genuine() -> str | None:
    own = Path(sys.argv[0]).resolve().parent
    places = [
        p
        for p in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if p and Path(p).resolve() != own
    ]
    return shutil.which("idlpp", path=os.pathsep.join(places))


def main() -> int:
    """Print the version in the format that salobj reads, and return the exit code."""
    genuine = _genuine()
    if genuine is not None:
        os.execv(genuine, [genuine, *sys.argv[1:]])  # noqa: S606 (the requested command)
    if sys.argv[1:] != ["-v"]:
        print(  # noqa: T201
            "idlpp: only -v is known here; Cyclone DDS needs no IDL compiler for Python",
            file=sys.stderr,
        )
        return 2
    print(f"Cyclone DDS : {version('cyclonedds')}")  # noqa: T201
    return 0
