"""Time limits that grow with the load of the machine.

A limit is given in seconds of an idle machine of the reference speed. It is measured on a clock
that runs slower while the machine is busy or slow. The same limit therefore holds on an idle
machine, on a machine with other work, and on a machine of half the speed. A limit ends a program
that hangs; it never asserts how fast a program is. Speed is measured in ``benchmarks/``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

PROBE_LOOPS = 20_000
"""Length of the computation that measures the machine's speed: half a millisecond, too short to
disturb other work."""
REFERENCE_PROBE_S = 0.0006
"""Processor time of that computation on the reference machine: one of two shared cores of a server
of 2023."""
MEASURE_EVERY_S = 0.25
"""Time between two measurements of the load. The load changes within seconds, when programs start
and end."""
SMOOTHING = 0.2
"""Weight of the newest measurement: the number of running tasks varies widely from one instant to
the next."""
LONGEST_STEP_S = 1.0
"""Most real seconds that one reading of the clock counts. If a process did not run for longer than
this, it could not see what it waits for: the machine was frozen, or other processes had the
processor."""
RUNNING_TASKS = "procs_running"


class Pace:
    """Measurement of how much slower this machine is now than an idle reference machine.

    Safe to use from several threads.
    """

    def __init__(
        self,
        running_tasks: Callable[[], int] | None = None,
        probe: Callable[[], float] | None = None,
    ) -> None:
        self._running_tasks = running_tasks or _running_tasks
        self._probe = probe or _probe
        self._lock = threading.RLock()  # a test's signal handler may call it in the same thread
        self._cores = len(os.sched_getaffinity(0))
        self._measured_at = float("-inf")
        self._slowness = 1.0

    def slowness(self) -> float:
        """Return the factor, at least 1, by which work is slower than on the reference machine."""
        with self._lock:
            now = time.monotonic()
            if now >= self._measured_at + MEASURE_EVERY_S:
                measured = self._measure()
                first = self._measured_at == float("-inf")
                self._slowness = (
                    measured if first else (1 - SMOOTHING) * self._slowness + SMOOTHING * measured
                )
                self._measured_at = now
            return self._slowness

    def _measure(self) -> float:
        load = max(1.0, self._running_tasks() / self._cores)
        return load * max(1.0, self._probe() / REFERENCE_PROBE_S)


def _running_tasks() -> int:
    """Return the number of tasks that run or wait for a processor, on the whole machine."""
    with Path("/proc/stat").open(encoding="ascii") as stat:
        return next(int(line.split()[1]) for line in stat if line.startswith(RUNNING_TASKS))


def _probe() -> float:
    """Return the processor time of a fixed computation, in seconds."""
    begin = time.thread_time()
    sum(range(PROBE_LOOPS))
    return time.thread_time() - begin


_pace = Pace()


def slowness() -> float:
    """Return the factor, at least 1, by which work is slower than on the reference machine."""
    return _pace.slowness()


def scaled(seconds: float) -> float:
    """Return a duration in real seconds for this machine under its present load.

    For a value that must be fixed beforehand: a setting of a program, or the timeout of a library.
    Where the limit can be checked repeatedly during the wait, use a `Deadline`: it also accounts
    for load that begins later.
    """
    return seconds * slowness()


class Deadline:
    """A time limit on the clock that runs slower while the machine is busy.

    Parameters
    ----------
    limit_s
        Seconds on a idle reference machine.
    pace
        Measurement to use instead of the shared one, for tests.
    """

    def __init__(self, limit_s: float, pace: Pace = _pace) -> None:
        self.limit_s = limit_s
        self._pace = pace
        self._left_s = limit_s
        self._polled_at = time.monotonic()

    def left_s(self) -> float:
        """Return the remaining time, in seconds of an idle reference machine; never below 0.

        Call it repeatedly: one call counts at most `LONGEST_STEP_S` real seconds.
        """
        now = time.monotonic()
        step = min(now - self._polled_at, LONGEST_STEP_S)
        self._polled_at = now
        self._left_s -= step / self._pace.slowness()
        return max(0.0, self._left_s)

    def has_passed(self) -> bool:
        """Return whether the limit has passed."""
        return self.left_s() <= 0


@asynccontextmanager
async def within(limit_s: float) -> AsyncIterator[None]:
    """Limit the time of a block, as `asyncio.timeout` does, on the clock of a `Deadline`.

    Raises
    ------
    TimeoutError
        If the block has not ended in time.
    """
    deadline = Deadline(limit_s)
    async with asyncio.timeout(None) as timeout:
        watch = asyncio.create_task(_end_when_passed(deadline, timeout))
        try:
            yield
        finally:
            watch.cancel()


async def _end_when_passed(deadline: Deadline, block: asyncio.Timeout) -> None:
    while not deadline.has_passed():  # noqa: ASYNC110 (time passes without an event)
        await asyncio.sleep(MEASURE_EVERY_S)
    block.reschedule(asyncio.get_running_loop().time())


def run(
    argv: Sequence[str | Path],
    limit_s: float,
    **options: Any,  # noqa: ANN401
) -> subprocess.CompletedProcess[Any]:
    """Run a program until it ends, as `subprocess.run` does, with the limit of a `Deadline`.

    Parameters
    ----------
    argv
        Program and arguments.
    limit_s
        Seconds on a idle reference machine.
    options
        Options of `subprocess.Popen`, and ``input``, ``capture_output`` and ``check`` as in
        `subprocess.run`.

    Raises
    ------
    subprocess.TimeoutExpired
        If the program has not ended in time. It is killed then.
    subprocess.CalledProcessError
        If it failed and ``check`` is true.
    """
    given = options.pop("input", None)
    check = options.pop("check", False)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with subprocess.Popen(argv, **options) as process:
        try:
            out, err = communicate(process, limit_s, given)
        except BaseException:
            process.kill()
            raise
    done: subprocess.CompletedProcess[Any] = subprocess.CompletedProcess(
        argv, process.returncode, out, err
    )
    if check:
        done.check_returncode()
    return done


def communicate(
    process: subprocess.Popen[Any],
    limit_s: float,
    given: Any = None,  # noqa: ANN401
) -> tuple[Any, Any]:
    """Read all output of a program until it ends, with the limit of a `Deadline`.

    Otherwise it behaves like `subprocess.Popen.communicate`.

    Raises
    ------
    subprocess.TimeoutExpired
        If the program has not ended in time. It continues to run.
    """
    deadline = Deadline(limit_s)
    while True:
        try:
            return process.communicate(given, timeout=MEASURE_EVERY_S)
        except subprocess.TimeoutExpired:
            if deadline.has_passed():
                raise
            given = None  # the first call has taken the input; a second one rejects it
