"""CPU time, memory and start time of the three workers' processes."""

import asyncio
import os
import time
from pathlib import Path

import psutil

from benchmarks.testbed import BenchmarkTestbed
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.polling import WaitError
from ccarchiver_sim.testbed.supervisor import WORKERS

MS_PER_S = 1000.0
MEGABYTE = 1e6
START_LIMIT_S = 60.0
"""A worker starts in two seconds; a longer start than this is a defect."""
POLL_INTERVAL_S = 0.01
_START_TICKS = 19
"""Index of the start time in /proc/PID/stat (proc(5), field 22) after the name in parentheses.

The name may contain blanks."""


class Processes:
    """The workers' current processes under supervisord.

    Parameters
    ----------
    testbed
        The system under test; no worker may be restarted while this object is used.
    """

    def __init__(self, testbed: BenchmarkTestbed) -> None:
        self._processes = {
            worker: psutil.Process(status.pid)
            for worker, status in testbed.rig.supervisor.status().items()
            if status.pid is not None
        }

    def cpu_ms(self) -> dict[str, float]:
        """Return each worker's CPU time so far, user and system, in milliseconds."""
        times = {worker: process.cpu_times() for worker, process in self._processes.items()}
        return {worker: (spent.user + spent.system) * MS_PER_S for worker, spent in times.items()}

    def pss_mb(self) -> dict[str, float]:
        """Return each worker's memory in megabytes; shared pages count in equal parts."""
        return {
            worker: _pss_bytes(process.pid) / MEGABYTE
            for worker, process in self._processes.items()
        }

    def rss_mb(self) -> dict[str, float]:
        """Return each worker's resident memory in megabytes."""
        return {
            worker: process.memory_info().rss / MEGABYTE
            for worker, process in self._processes.items()
        }


def _pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process; psutil reads all maps, which is slow."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no line Pss:")


def spent_each(before: dict[str, float], after: dict[str, float], count: float) -> dict[str, float]:
    """Return the difference of two readings divided by `count`; a missing name counts as 0."""
    names = sorted(before.keys() | after.keys())
    return {name: (after.get(name, 0.0) - before.get(name, 0.0)) / count for name in names}


async def start_times(testbed: BenchmarkTestbed) -> dict[str, float]:
    """Restart each worker alone; return the seconds from its start to its first heartbeat.

    Notes
    -----
    The bridge and health write their first heartbeat when they have their lease and begin to work,
    the CSC when it is also on SAL.
    """
    return {worker: await _start_time(testbed, Worker(worker)) for worker in WORKERS}


async def _start_time(testbed: BenchmarkTestbed, worker: Worker) -> float:
    before = await read_heartbeat(testbed.redis, worker)
    restart = asyncio.create_task(testbed.rig.restart_worker(worker))
    deadline = Deadline(START_LIMIT_S)
    while not deadline.has_passed():
        heartbeat = await read_heartbeat(testbed.redis, worker)
        if heartbeat is not None and (before is None or heartbeat.pid != before.pid):
            age = _age_s(heartbeat.pid)
            await restart
            return age
        await asyncio.sleep(POLL_INTERVAL_S)
    raise WaitError(f"{worker} wrote no heartbeat within {START_LIMIT_S:g} s of its restart")


def _age_s(pid: int) -> float:
    """Return the age of a process in seconds.

    It is computed from the kernel's ticks, to 10 ms; psutil's times have a resolution of one
    second.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    started = int(fields[_START_TICKS]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
