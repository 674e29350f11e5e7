from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim import pace
from ccarchiver_sim.pace import REFERENCE_PROBE_S, Deadline, Pace, within

if TYPE_CHECKING:
    from collections.abc import Callable

CORES = len(os.sched_getaffinity(0))
HANGS = [sys.executable, "-c", "import time; time.sleep(3600)"]


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def pace_of(running_tasks: Callable[[], int], probe_s: float = REFERENCE_PROBE_S) -> Pace:
    return Pace(running_tasks, lambda: probe_s)


@pytest.mark.parametrize(
    ("tasks", "probe_s", "expected"),
    [
        (0, REFERENCE_PROBE_S, 1),
        (1, REFERENCE_PROBE_S, 1 if CORES > 1 else 1 / CORES),
        (CORES, REFERENCE_PROBE_S / 3, 1),
        (4 * CORES, REFERENCE_PROBE_S, 4),
        (0, 2 * REFERENCE_PROBE_S, 2),
        (4 * CORES, 2 * REFERENCE_PROBE_S, 8),
    ],
)
def test_slowness_is_the_load_of_a_core_times_the_slowness_of_the_cores(
    tasks: int, probe_s: float, expected: float
) -> None:
    assert pace_of(lambda: tasks, probe_s).slowness() == pytest.approx(expected)


def test_slowness_follows_the_load_gradually_and_is_not_measured_at_each_call(clock: Clock) -> None:
    loads = [CORES, 5 * CORES, 5 * CORES]
    measured = Pace(lambda: loads.pop(0), lambda: REFERENCE_PROBE_S)

    assert [measured.slowness() for _ in range(10)] == [1.0] * 10
    clock.now += pace.MEASURE_EVERY_S
    assert measured.slowness() == pytest.approx(1 + 4 * pace.SMOOTHING)
    clock.now += pace.MEASURE_EVERY_S
    assert 1 + 4 * pace.SMOOTHING < measured.slowness() < 5


def test_slowness_of_this_machine_is_at_least_one() -> None:
    assert pace.slowness() >= 1
    assert pace.scaled(3) >= 3


def test_deadline_on_a_free_machine_passes_after_its_limit(clock: Clock) -> None:
    deadline = Deadline(2.5, pace_of(lambda: 0))
    seen = []
    for _ in range(4):
        seen.append((deadline.left_s(), deadline.has_passed()))
        clock.now += 1

    assert seen == [(2.5, False), (1.5, False), (0.5, False), (0.0, True)]


def test_deadline_on_a_busy_machine_passes_later_in_proportion(clock: Clock) -> None:
    deadline = Deadline(2.5, pace_of(lambda: 4 * CORES))
    seconds = 0
    while not deadline.has_passed():
        clock.now += 1
        seconds += 1

    assert seconds == 10


def test_pause_of_the_machine_counts_as_one_poll_interval(clock: Clock) -> None:
    deadline = Deadline(2.5, pace_of(lambda: 0))
    clock.now += 3600

    assert deadline.left_s() == 2.5 - pace.LONGEST_STEP_S


async def test_block_that_ends_in_time_returns_its_result() -> None:
    async with within(60):
        result = await asyncio.sleep(0, "done")
    assert result == "done"


async def test_block_that_hangs_raises_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        async with within(0.01):
            await asyncio.Event().wait()


async def test_error_in_a_block_is_raised() -> None:
    async def failing() -> None:
        async with within(60):
            message = "its own"
            raise ValueError(message)

    with pytest.raises(ValueError, match="its own"):
        await failing()


async def test_cancellation_of_a_limited_block_is_raised() -> None:
    begun = asyncio.Event()

    async def limited() -> None:
        async with within(60):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(limited())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.processes
def test_run_returns_the_output_of_a_program() -> None:
    program = "import sys; print(sys.stdin.read().upper()); sys.exit(3)"
    done = pace.run(
        [sys.executable, "-c", program], 60, input="given", capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (3, "GIVEN\n", "")


@pytest.mark.processes
def test_run_with_check_raises_the_error_of_a_program_that_failed() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        pace.run([sys.executable, "-c", "raise SystemExit(3)"], 60, check=True)


@pytest.mark.processes
def test_run_kills_a_program_that_hangs() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        pace.run(HANGS, 0.01)


@pytest.mark.processes
def test_communicate_keeps_output_printed_before_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a wait of several calls; none may lose a line or send the input again."""
    monkeypatch.setattr(pace, "MEASURE_EVERY_S", 0.02)
    program = (
        "import sys, time; print(input(), flush=True); time.sleep(0.2); print(sys.stdin.read())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        began = time.monotonic()
        out, _ = pace.communicate(process, 60, "first\nsecond\n")
        assert time.monotonic() - began >= 0.2, "the wait took several calls"

    assert out == "first\nsecond\n\n"
