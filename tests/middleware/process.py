"""Processes on the bus: plain DDS ends that do as they are told, and whole programs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
ROOT = HERE.parent.parent
ANSWER_TIMEOUT = 30.0


def start(program: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a program of the folder ``programs`` with pipes."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-u", str(PROGRAMS / program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def read_line(process: subprocess.Popen[str], timeout: float = ANSWER_TIMEOUT) -> str:
    """Return the next line a process prints."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], timeout)
    line = process.stdout.readline() if ready else ""
    if not line:
        process.kill()
        _, errors = process.communicate()
        raise AssertionError(f"{process.args!r} gave no answer within {timeout} s; it says: {errors}")
    return line.strip()


def seconds_to_end(process: subprocess.Popen[str], limit: float) -> float:
    """Return how long a process takes to end from now; fail, and kill it, after a limit."""
    begin = time.monotonic()
    try:
        process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"{process.args!r} did not end within {limit} s") from None
    return time.monotonic() - begin


class Peer:
    """A process that runs ``programs/end.py``: each call is one of its methods."""

    def __init__(self, idl: Path, prefix: tuple[str, ...] = ()) -> None:
        self.process = start("end.py", str(idl), prefix=prefix)
        assert read_line(self.process) == "ready"

    def ask(self, method: str, *arguments: Any, timeout: float = ANSWER_TIMEOUT) -> Any:  # noqa: ANN401 (JSON)
        self.tell(method, *arguments)
        return self.answer(timeout)

    def tell(self, method: str, *arguments: Any) -> None:  # noqa: ANN401 (JSON)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self.process.stdin.flush()

    def answer(self, timeout: float = ANSWER_TIMEOUT) -> Any:  # noqa: ANN401 (JSON)
        return json.loads(read_line(self.process, timeout))

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        if self.process.poll() is None:
            self.resume()
            self.kill()
