"""Programs in a network namespace of their own, in which a test may change interfaces."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim import pace

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

UNSHARE = shutil.which("unshare") or ""
CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000


def _can_make_namespaces() -> bool:
    pid = os.fork()
    if pid == 0:
        flags = CLONE_NEWNET | (CLONE_NEWUSER if os.getuid() else 0)
        os._exit(0 if ctypes.CDLL(None).unshare(flags) == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


needs_namespace = pytest.mark.skipif(
    not UNSHARE or not _can_make_namespaces(),
    reason="the kernel of this machine permits no network namespace",
)
"""Mark of a test that calls `run_alone`. Containers often permit no namespace."""


def run_alone(
    program: Path, arguments: Sequence[str], root: Path, limit_s: float, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a new network namespace, whose only interface is down."""
    return pace.run(
        [
            UNSHARE,
            "--net",
            *(["--map-root-user"] if os.getuid() else []),
            sys.executable,
            "-u",
            str(program),
            *arguments,
        ],
        limit_s,
        capture_output=True,
        text=True,
        env={**env, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
    )
