"""The three workers' processes, seen from outside: CPU, memory, and how long one takes to start."""

import asyncio
import os
import time
from pathlib import Path

import psutil

from benchmarks.stage import Stage
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.polling import WaitError
from ccarchiver_sim.testbed.supervisor import WORKERS

MS_PER_S = 1000.0
MEGABYTE = 1e6
START_LIMIT_S = 60.0
"""A worker starts in two seconds; longer than this is a defect."""
LOOK_EVERY_S = 0.01
_START_TICKS = 19
"""Place of the start time in /proc/PID/stat (proc(5), field 22) after the name in brackets, which may have blanks."""


class Processes:
    """The workers' processes as supervisord runs them now.

    Parameters
    ----------
    stage
        Where they run; none of them may be restarted while this is in use.
    """

    def __init__(self, stage: Stage) -> None:
        self._processes = {
            worker: psutil.Process(status.pid)
            for worker, status in stage.rig.supervisor.status().items()
            if status.pid is not None
        }

    def cpu_ms(self) -> dict[str, float]:
        """Give each worker's CPU time so far, user and system, in milliseconds."""
        times = {worker: process.cpu_times() for worker, process in self._processes.items()}
        return {worker: (spent.user + spent.system) * MS_PER_S for worker, spent in times.items()}

    def rss_mb(self) -> dict[str, float]:
        """Give each worker's resident memory in megabytes."""
        return {worker: process.memory_info().rss / MEGABYTE for worker, process in self._processes.items()}


def spent_each(before: dict[str, float], after: dict[str, float], count: float) -> dict[str, float]:
    """Give what was spent between two readings for each of `count` things; names only one of them has count too."""
    names = sorted(before.keys() | after.keys())
    return {name: (after.get(name, 0.0) - before.get(name, 0.0)) / count for name in names}


async def start_times(stage: Stage) -> dict[str, float]:
    """Restart each worker alone; seconds from its process's start to its first sign of life.

    Notes
    -----
    A worker beats from when it works: the bridge and health when they have their lease and begin with their work, the
    CSC when it is on SAL as well.
    """
    return {worker: await _start_time(stage, Worker(worker)) for worker in WORKERS}


async def _start_time(stage: Stage, worker: Worker) -> float:
    before = await read_heartbeat(stage.redis, worker)
    restart = asyncio.create_task(stage.rig.restart_worker(worker))
    deadline = Deadline(START_LIMIT_S)
    while not deadline.has_passed():
        heartbeat = await read_heartbeat(stage.redis, worker)
        if heartbeat is not None and (before is None or heartbeat.pid != before.pid):
            age = _age_s(heartbeat.pid)
            await restart
            return age
        await asyncio.sleep(LOOK_EVERY_S)
    raise WaitError(f"{worker} showed no sign of life within {START_LIMIT_S:g} s of its restart")


def _age_s(pid: int) -> float:
    """Give the seconds a process has lived; by the kernel's ticks, to 10 ms: psutil's own times are to a second."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    started = int(fields[_START_TICKS]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
