"""Processes on the bus: DDS endpoints controlled by a test, and whole programs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

from ccarchiver_sim import pace

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
ROOT = HERE.parent.parent
LIMIT_S = 30.0
"""Limit of every wait; it takes effect only if something is broken."""
LOOK_EVERY_S = 0.25
CHUNK = 65536
OF_THE_BUS = ("CYCLONEDDS_URI", "LSST_DDS_")
"""Prefixes of the environment variables that choose a bus."""

_unread: weakref.WeakKeyDictionary[subprocess.Popen[str], bytes] = weakref.WeakKeyDictionary()
"""Output received after the lines that were returned."""


def start(program: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a program of the folder ``programs`` with pipes."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-u", str(PROGRAMS / program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )


def read_line(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process's output. Fail, and kill the process, after a limit."""
    assert process.stdout is not None
    deadline = pace.Deadline(LIMIT_S)
    got = _unread.pop(process, b"")
    while b"\n" not in got:
        chunk = b""
        if select.select([process.stdout], [], [], LOOK_EVERY_S)[0]:
            chunk = os.read(
                process.stdout.fileno(), CHUNK
            )  # readline would buffer data that select does not see
        elif not deadline.has_passed():
            continue
        if not chunk:
            process.kill()
            raise AssertionError(
                f"{process.args!r} printed no answer; its errors: {_errors_so_far(process)}"
            )
        got += chunk
    line, _, _unread[process] = got.partition(b"\n")
    return line.decode().strip()


def _errors_so_far(process: subprocess.Popen[str]) -> str:
    """Return the contents of the error pipe, which forked processes may keep open."""
    assert process.stderr is not None
    process.wait()
    os.set_blocking(process.stderr.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        return os.read(process.stderr.fileno(), CHUNK).decode()
    return ""


def ends_by_itself(process: subprocess.Popen[str]) -> int:
    """Return the exit code of a process. Fail, and kill the process, after a limit."""
    try:
        pace.communicate(process, LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"{process.args!r} does not end") from None
    return process.returncode


class Peer:
    """A process that runs ``programs/end.py``: each request calls a method of its `End`."""

    def __init__(self, idl: Path) -> None:
        self.process = start("end.py", str(idl))
        self.unanswered = 0
        assert read_line(self.process) == "ready"

    def open(self, depth: int | None = None) -> None:
        """Create the `End` on the bus that this process's environment selects."""
        self.ask(
            "open",
            {name: value for name, value in os.environ.items() if name.startswith(OF_THE_BUS)},
            depth,
        )

    def ask(self, method: str, *arguments: Any) -> Any:  # noqa: ANN401 (JSON)
        self.tell(method, *arguments)
        return self.answer()

    def tell(self, method: str, *arguments: Any) -> None:  # noqa: ANN401 (JSON)
        assert self.process.stdin is not None
        self.unanswered += 1
        self.process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:  # noqa: ANN401 (JSON)
        answer = json.loads(read_line(self.process))
        self.unanswered -= 1
        return answer

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


class Peers:
    """Processes that the tests share, each with an `End` per test."""

    def __init__(self, idl: Path) -> None:
        self._idl = idl
        self._idle: list[Peer] = []
        self._in_use: list[Peer] = []

    def take(self, depth: int | None = None) -> Peer:
        """Return an unused process, on the bus."""
        peer = self._idle.pop() if self._idle else Peer(self._idl)
        self._in_use.append(peer)
        peer.open(depth)
        return peer

    def give_back(self) -> None:
        """Return all used processes to the pool; their ends leave the bus."""
        in_use, self._in_use = self._in_use, []
        for peer in in_use:
            if not peer.is_alive:
                continue
            peer.resume()
            if peer.unanswered:
                peer.kill()
            else:
                peer.ask("close")
                self._idle.append(peer)

    def close(self) -> None:
        """End all processes."""
        for peer in self._idle + self._in_use:
            peer.kill()
