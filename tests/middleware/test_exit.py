"""Programs end at once, whatever they left open (requirement 8)."""

from __future__ import annotations

import signal

import pytest

from tests.middleware.process import read_line, seconds_to_end, start

AT_ONCE = 1.0
LEEWAY = 1.5
"""Seconds that a busy machine may need on top, mostly to unload Python; a hang lasts 10 and more."""


@pytest.mark.parametrize(("way", "code"), [("return", 0), ("exception", 1), ("exit", 3), ("no cancelling", 0)])
def test_unclosed_program(way: str, code: int) -> None:
    process = start("ending.py", way)
    assert read_line(process) == "started"
    assert process.stdin is not None
    process.stdin.write("end\n")
    process.stdin.flush()
    seconds_to_end(process, AT_ONCE + LEEWAY)
    assert process.returncode == code


@pytest.mark.parametrize("way", ["interrupt", "while settling"])
def test_control_c(way: str) -> None:
    process = start("ending.py", way)
    assert read_line(process) == "started"
    process.send_signal(signal.SIGINT)
    seconds_to_end(process, AT_ONCE + LEEWAY)
    assert process.returncode in {1, -signal.SIGINT, 128 + signal.SIGINT}


def test_a_plain_dds_program_with_its_participant_open() -> None:
    process = start("plain.py")
    assert read_line(process) == "open"
    seconds_to_end(process, AT_ONCE + LEEWAY)
    assert process.returncode == 0
