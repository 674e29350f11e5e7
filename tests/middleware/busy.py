"""Processes that use all processors, so that others must wait."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPUTE = "while True: sum(range(100_000))"


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Run this many busy processes for the duration of a block."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-S", "-c", COMPUTE]))
            stack.callback(process.kill)
        yield
