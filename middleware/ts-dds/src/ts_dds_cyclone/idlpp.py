"""The command ``idlpp -v``, by which salobj's get_opensplice_version learns the version of the DDS library.

OpenSplice's IDL compiler is not here; where the genuine command is on the PATH, it is run instead.
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
    places = [p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p and Path(p).resolve() != own]
    return shutil.which("idlpp", path=os.pathsep.join(places))


def main() -> int:
    """Print the version, in the form salobj reads, and return the exit code."""
    genuine = _genuine()
    if genuine is not None:
        os.execv(genuine, [genuine, *sys.argv[1:]])  # noqa: S606 (the command that was asked for)
    if sys.argv[1:] != ["-v"]:
        print("idlpp: only -v is known here; Cyclone DDS needs no IDL compiler for Python", file=sys.stderr)  # noqa: T201
        return 2
    print(f"Cyclone DDS : {version('cyclonedds')}")  # noqa: T201
    return 0
