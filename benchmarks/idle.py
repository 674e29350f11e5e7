"""CPU time and memory of the three workers while the archiver is paired and takes no exposure.

    python -m benchmarks.idle --seconds 60 --rounds 2

No browser visits the status page, and the peers send nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import site_of
from benchmarks.testbed import BOARDS_OF_COMCAM, open_testbed
from benchmarks.workers import MS_PER_S, Processes

SETTLE_S = 10.0
"""Seconds after ENABLED that are not measured: the work of the start has ended by then."""
SECONDS = 60.0
"""Duration of a measurement; twelve times the longest interval between two periodic checks."""
PERCENT = 100.0


@dataclass(frozen=True)
class Idle:
    """One worker without exposures."""

    worker: str
    cpu_percent: float
    """CPU time, user and system, in percent of one core."""
    rss_mb: float
    """Resident memory, which includes what the workers share."""
    pss_mb: float
    """Resident memory; a page that several processes share counts in equal parts."""


async def measure(seconds: float) -> list[Idle]:
    """Run an archiver without exposures and return the figures of each worker."""
    async with open_testbed(site_of(BOARDS_OF_COMCAM)) as testbed:
        await testbed.enable()
        await asyncio.sleep(SETTLE_S)
        processes = Processes(testbed)
        before = processes.cpu_ms()
        await asyncio.sleep(seconds)
        after = processes.cpu_ms()
        rss, pss = processes.rss_mb(), processes.pss_mb()
    return [
        Idle(
            worker,
            (after[worker] - before[worker]) / (seconds * MS_PER_S) * PERCENT,
            rss[worker],
            pss[worker],
        )
        for worker in sorted(after)
    ]


def report(rounds: list[list[Idle]]) -> None:
    """Print the median of each worker and of their sum."""
    print(f"medians of {len(rounds)} rounds; memory in MB")
    workers = [one.worker for one in rounds[0]]
    for position, worker in enumerate(workers):
        print(show(worker, [[figures[position]] for figures in rounds]))
    print(show("all", rounds))


def show(name: str, rounds: list[list[Idle]]) -> str:
    """Return one line with the medians of the sums of each round."""
    cpu = statistics.median(sum(one.cpu_percent for one in figures) for figures in rounds)
    rss = statistics.median(sum(one.rss_mb for one in figures) for figures in rounds)
    pss = statistics.median(sum(one.pss_mb for one in figures) for figures in rounds)
    return f"{name:8} CPU {cpu:5.2f} %   RSS {rss:6.1f}   PSS {pss:6.1f}"


async def run(rounds: int, seconds: float) -> list[list[Idle]]:
    """Measure in several rounds, each with a new archiver, and print each of them."""
    found = list[list[Idle]]()
    for number in range(1, rounds + 1):
        found.append(await measure(seconds))
        print(show(f"round {number}", [found[-1]]), flush=True)
    return found


def main() -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser("benchmarks.idle", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="archivers, one after the other")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="duration of each one")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rounds = asyncio.run(run(options.rounds, options.seconds))
    report(rounds)
    if options.json:
        figures = [[asdict(one) for one in figures] for figures in rounds]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
