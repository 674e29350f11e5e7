"""`ccarchiver status --watch` on a terminal, in a pipe and through a Redis outage."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from ccarchiver_sim import pace
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 60.0
PROGRAM = str(Path(sys.executable).with_name("ccarchiver"))
ROWS, COLUMNS = 24, 80
pytestmark = pytest.mark.processes
ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


def environment(folder: Path, port: int, **more: str) -> dict[str, str]:
    site = {"ROOT": {"REDIS_HOST": LOOPBACK, "REDIS_PORT": port}}
    (folder / "ccarchiver_config.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return {**kept, "IIP_CONFIG_DIR": str(folder), "PYTHONUNBUFFERED": "1", **more}


class Screen:
    """A terminal of 80 columns and 24 rows that runs the program."""

    def __init__(self, env: dict[str, str]) -> None:
        self._end, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [PROGRAM, "status", "--watch"], env=env, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.seen = b""

    def until(self, condition: Callable[[bytes], bool], what: str) -> None:
        deadline = Deadline(LIMIT_S)
        while not condition(self.seen):
            assert not deadline.has_passed(), f"no {what}; output {self.seen!r}"
            if not select.select([self._end], [], [], 0.1)[0]:
                continue
            try:
                self.seen += os.read(self._end, 65536)
            except OSError:  # the other end is closed
                assert condition(self.seen), f"ended before {what}; output {self.seen!r}"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._end)


def test_watch_redraws_the_terminal_and_restores_it_on_ctrl_c(
    fresh_redis: PrivateRedis, tmp_path: Path
) -> None:
    screen = Screen(environment(tmp_path, fresh_redis.port, TERM="xterm", NO_COLOR="1"))
    try:
        screen.until(lambda seen: seen.count(b"CCArchiver") >= 3, "three readings")
        screen.process.send_signal(signal.SIGINT)
        screen.until(lambda seen: LEAVE_SCREEN in seen, "the screen before")

        pace.communicate(screen.process, LIMIT_S)
        assert screen.process.returncode == 130
        assert screen.seen.startswith((ENTER_SCREEN, b"\x1b[?25l"))
        assert not [word for word in (b"Traceback", b"Abort") if word in screen.seen]
        assert b"\x1b[31m" not in screen.seen  # no colour: NO_COLOR
        first = screen.seen.split(b"CCArchiver")[1]
        assert first.count(b"\n") < ROWS
        assert b"sends no heartbeat" in first
    finally:
        screen.close()


def test_watch_continues_through_a_redis_outage(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        env = environment(tmp_path, server.port)
        with subprocess.Popen(
            [PROGRAM, "status", "--watch", "--json"], env=env, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                for is_there in (True, False, True):
                    if not is_there:
                        server.kill()
                    elif not server.is_running:
                        server.start()
                    deadline = Deadline(LIMIT_S)
                    while json.loads(process.stdout.readline())["redis"]["answers"] is not is_there:
                        assert not deadline.has_passed()
                process.send_signal(signal.SIGINT)
                pace.communicate(process, LIMIT_S)
                assert process.returncode == 130
            finally:
                process.kill()
