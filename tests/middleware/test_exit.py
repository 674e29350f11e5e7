"""Programs end by themselves, even if they close nothing (requirement 8)."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.middleware.process import ends_by_itself, read_line, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.processes

GO_ON = {"return": 0, "exception": 1, "exit": 3, "no cancelling": 0}
"""Ways to end after the program was told to continue, and the exit code of each."""
INTERRUPTED = ("interrupt", "while settling")
CODES_OF_AN_INTERRUPT = {1, -signal.SIGINT, 128 + signal.SIGINT}


@pytest.fixture(scope="module")
def ended(bus_of_the_module: None) -> Iterator[Mapping[str, int]]:
    """Return the exit code for each way to end; a way is missing if its program hangs."""
    del bus_of_the_module
    ways = [*GO_ON, *INTERRUPTED]
    process = start("ending.py", *ways)
    codes: dict[str, int] = {}
    pids: dict[str, int] = {}
    try:
        while len(pids) < len(ways):
            read_report(process, pids, codes)
            assert not codes, f"ended too early: {codes}"
        assert process.stdin is not None
        process.stdin.write("x" * len(GO_ON))
        process.stdin.flush()
        for way in INTERRUPTED:
            os.kill(pids[way], signal.SIGINT)
        with contextlib.suppress(AssertionError):  # the test of each hanging way fails
            while len(codes) < len(ways):
                read_report(process, pids, codes)
        yield codes
    finally:
        for way, pid in pids.items():
            if way not in codes:
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def read_report(
    process: subprocess.Popen[str], pids: dict[str, int], codes: dict[str, int]
) -> None:
    what, number = read_line(process).rsplit(": ")
    event, way = what.split(maxsplit=1)
    (pids if event == "started" else codes)[way] = int(number)


@pytest.mark.parametrize(("way", "code"), GO_ON.items())
def test_program_that_closes_nothing_ends_with_its_exit_code(
    ended: Mapping[str, int], way: str, code: int
) -> None:
    assert ended.get(way, "hangs") == code


@pytest.mark.parametrize("way", INTERRUPTED)
def test_program_ends_on_ctrl_c(ended: Mapping[str, int], way: str) -> None:
    assert ended.get(way, "hangs") in CODES_OF_AN_INTERRUPT


def test_plain_dds_program_ends_with_an_open_participant() -> None:
    process = start("plain.py")
    assert read_line(process) == "open"
    assert ends_by_itself(process) == 0
