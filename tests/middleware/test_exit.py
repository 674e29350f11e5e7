"""Programs end by themselves, whatever they left open (requirement 8)."""

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
"""Ways to end for a program that is told to go on, and its exit code."""
INTERRUPTED = ("interrupt", "while settling")
CODES_OF_AN_INTERRUPT = {1, -signal.SIGINT, 128 + signal.SIGINT}


@pytest.fixture(scope="module")
def ended(bus_of_the_module: None) -> Iterator[Mapping[str, int]]:
    """Exit codes of programs that end in each of the ways, side by side; a way is missing if its program hangs."""
    del bus_of_the_module
    ways = [*GO_ON, *INTERRUPTED]
    process = start("ending.py", *ways)
    codes: dict[str, int] = {}
    pids: dict[str, int] = {}
    try:
        while len(pids) < len(ways):
            read_report(process, pids, codes)
            assert not codes, f"ended without being told to: {codes}"
        assert process.stdin is not None
        process.stdin.write("x" * len(GO_ON))
        process.stdin.flush()
        for way in INTERRUPTED:
            os.kill(pids[way], signal.SIGINT)
        with contextlib.suppress(AssertionError):  # the test of each way that hangs fails
            while len(codes) < len(ways):
                read_report(process, pids, codes)
        yield codes
    finally:
        for way, pid in pids.items():
            if way not in codes:
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def read_report(process: subprocess.Popen[str], pids: dict[str, int], codes: dict[str, int]) -> None:
    what, number = read_line(process).rsplit(": ")
    event, way = what.split(maxsplit=1)
    (pids if event == "started" else codes)[way] = int(number)


@pytest.mark.parametrize(("way", "code"), GO_ON.items())
def test_unclosed_program(ended: Mapping[str, int], way: str, code: int) -> None:
    assert ended.get(way, "hangs") == code


@pytest.mark.parametrize("way", INTERRUPTED)
def test_control_c(ended: Mapping[str, int], way: str) -> None:
    assert ended.get(way, "hangs") in CODES_OF_AN_INTERRUPT


def test_a_plain_dds_program_with_its_participant_open() -> None:
    process = start("plain.py")
    assert read_line(process) == "open"
    assert ends_by_itself(process) == 0
