"""One soak run: exposures at a steady rate, and samples at intervals."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.progress import Stillness, read_progress
from ccarchiver_sim.faults.traffic import Traffic
from ccarchiver_sim.soak.sample import Sample, take_sample

SAMPLES = 60
"""Least number of samples in a run, so that the second half has enough for a median; at most one
each second."""
LONGEST_INTERVAL_S = 30.0
SHORTEST_INTERVAL_S = 1.0
LEDGER_SHARE = 5
"""Ratio of the images taken to the ledger's bound, so that it is full long before the second
half."""

Print = Callable[[str], None]


@dataclass(frozen=True)
class SoakPlan:
    """Duration and rate of a soak."""

    minutes: float
    rate: float
    """Exposures per second."""

    @property
    def seconds(self) -> float:
        """Duration of the run."""
        return self.minutes * 60.0

    @property
    def settings(self) -> dict[str, object]:
        """Keys of the site file: a ledger that reaches its bound, as it does after a month."""
        return {"MAX_LEDGER_IMAGES": max(1, int(self.seconds * self.rate / LEDGER_SHARE))}

    @property
    def interval(self) -> float:
        """Seconds between two samples."""
        return min(LONGEST_INTERVAL_S, max(SHORTEST_INTERVAL_S, self.seconds / SAMPLES))


@dataclass(frozen=True)
class Soaked:
    """Results of a soak."""

    samples: list[Sample]
    accepted: int
    lost: int
    restarts: int
    """Number of workers that ended and were restarted unexpectedly."""


async def soak(testbed: FaultTestbed, plan: SoakPlan, print_line: Print) -> Soaked:
    """Take exposures and samples; the archiver must be up and ENABLED."""
    samples: list[Sample] = []
    pids = _pids(testbed)
    end = time.monotonic() + plan.seconds
    async with Traffic(testbed.sal_source, plan.rate):
        while time.monotonic() < end:
            await asyncio.sleep(plan.interval)
            samples.append(await take_sample(testbed))
            testbed.observe()
            left = max(0.0, end - time.monotonic())
            print_line(
                f"  {len(testbed.oracle.accepted(testbed.oracle.run))} images, {left:.0f} s left"
            )
    stillness = Stillness()
    while testbed.oracle.outstanding(testbed.oracle.run) and not stillness.is_reached(
        await read_progress(testbed)
    ):
        await asyncio.sleep(SHORTEST_INTERVAL_S)
        testbed.observe()
    return Soaked(
        samples=samples,
        accepted=len(testbed.oracle.accepted(testbed.oracle.run)),
        lost=len(testbed.oracle.outstanding(testbed.oracle.run)),
        restarts=sum(before != after for before, after in zip(pids, _pids(testbed), strict=True)),
    )


def _pids(testbed: FaultTestbed) -> list[int | None]:
    return [testbed.worker_pid(worker) for worker in ("sal", "bridge", "health")]
