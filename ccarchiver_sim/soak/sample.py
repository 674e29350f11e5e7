"""Measurements of one moment: the workers' processes, from outside, and the contents of Redis."""

import time
from dataclasses import dataclass

import psutil

from ccarchiver_core.keys import DEAD_LETTERS, IMAGES, PENDING_ACKS, UNFINISHED, Worker
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.testbed.supervisor import WORKERS

MEGABYTE = 1e6


@dataclass(frozen=True)
class Sample:
    """Figures of one moment by name, and their time on the monotonic clock."""

    at: float
    figures: dict[str, float]


async def take_sample(testbed: FaultTestbed) -> Sample:
    """Return the present figures."""
    figures: dict[str, float] = {}
    for worker in WORKERS:
        figures |= _process(testbed, worker)
    figures |= await _redis(testbed)
    return Sample(time.monotonic(), figures)


def _process(testbed: FaultTestbed, worker: str) -> dict[str, float]:
    """Return the figures of a worker; none if it does not run."""
    pid = testbed.worker_pid(worker)
    if pid is None:
        return {}
    process = psutil.Process(pid)
    with process.oneshot():
        return {
            f"{worker} rss, MB": process.memory_info().rss / MEGABYTE,
            f"{worker} open files": process.num_fds(),
            f"{worker} threads": process.num_threads(),
        }


async def _redis(testbed: FaultTestbed) -> dict[str, float]:
    async with testbed.redis() as client:
        info = await client.info("memory")
        return {
            "redis memory, MB": info["used_memory"] / MEGABYTE,
            **{
                f"mailbox of {worker}": float(await client.xlen(worker.mailbox))
                for worker in Worker
            },
            "dead letters": float(await client.xlen(DEAD_LETTERS)),
            "pending acks": float(await client.hlen(PENDING_ACKS)),
            "ledger": float(await client.zcard(IMAGES)),
            "unfinished": float(await client.zcard(UNFINISHED)),
            "keys": float(await client.dbsize()),
        }
