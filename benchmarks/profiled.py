"""A worker under Python's profiler, and the tables of its profile.

The profile has the CPU time of the event loop's thread. It has no waiting time and no time of
salobj's threads. The profiler adds about a microsecond to each call of a Python function, so small
functions appear more expensive than they are. The profile shows where time is spent, not how much.
"""

import cProfile
import pstats
import runpy
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.probe import ROOT
from benchmarks.testbed import BenchmarkTestbed
from ccarchiver_sim.testbed.supervisor import CONFIGURATION, WORKERS

SHOWN = 25
"""Functions printed for each worker; each of the others needs less than a hundredth of the time."""
US_PER_S = 1e6
FOLDER_VARIABLE = "CCARCHIVER_BENCH_PROFILES"
BEGIN = signal.SIGUSR1
"""Signal at which a worker starts the profiler; the imports at its start are not profiled."""


def configuration_with_profiler(folder: Path) -> Path:
    """Write a configuration of supervisord that runs the workers under the profiler.

    Each worker writes its profile into the folder when it ends.
    """
    text = CONFIGURATION.read_text(encoding="utf-8")
    for worker in WORKERS:
        program = f"run_ccarchiver_{worker}"
        profiled = (
            f"{sys.executable} -m benchmarks.profiled ccarchiver_{worker}.main "
            f"{folder / worker}.prof"
        )
        if f" {program}\n" not in text:
            raise RuntimeError(
                f"{CONFIGURATION} has no command that runs {program}; "
                "correct benchmarks/profiled.py"
            )
        text = text.replace(f" {program}\n", f" {profiled}\ndirectory={ROOT}\n")
    path = folder / "supervisord.conf"
    path.write_text(text, encoding="utf-8")
    return path


def begin(testbed: BenchmarkTestbed) -> None:
    """Start the profiler in all workers."""
    for worker in WORKERS:
        testbed.rig.supervisor.signal_worker(worker, BEGIN)


@dataclass(frozen=True)
class Cost:
    """Cost of one function for an image: calls, own time and total time, in microseconds."""

    name: str
    calls: float
    own_us: float
    all_us: float


def read_profile(path: Path, images: int) -> list[Cost]:
    """Return the cost of each function in a worker's profile."""
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(
        str(path)
    ).stats  # type: ignore[attr-defined]  # not in its stubs
    return [
        Cost(_name(*place), calls / images, own * US_PER_S / images, whole * US_PER_S / images)
        for place, (_, calls, own, whole, _) in stats.items()
    ]


def _name(file: str, line: int, function: str) -> str:
    if file == "~":
        return function
    path = Path(file)
    where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    parts = (
        where.parts[where.parts.index("site-packages") + 1 :]
        if "site-packages" in where.parts
        else where.parts
    )
    return f"{'/'.join(parts[-3:])}:{line} {function}"


def show_profiles(folder: Path, images: int, console: Console) -> None:
    """Print the most expensive functions of each worker: all by own time, ours by total time."""
    for worker in WORKERS:
        costs = read_profile(folder / f"{worker}.prof", images)
        own = sorted(costs, key=lambda cost: -cost.own_us)[:SHOWN]
        console.print(_table(f"{worker}: own time, microseconds an image", own))
        ours = [cost for cost in costs if cost.name.startswith("ccarchiver_")]
        ours.sort(key=lambda cost: -cost.all_us)
        console.print(_table(f"{worker}: our functions with all they call", ours[:SHOWN]))


def _table(title: str, costs: Iterable[Cost]) -> Table:
    table = Table(title=title)
    table.add_column("function", overflow="fold")
    for heading in ("calls", "own", "with all it calls"):
        table.add_column(heading, justify="right")
    for cost in costs:
        table.add_row(cost.name, f"{cost.calls:.1f}", f"{cost.own_us:.0f}", f"{cost.all_us:.0f}")
    return table


def main(module: str, out: str) -> None:
    """Run a worker's module as its program does, profile it from `BEGIN` on, write the profile."""
    sys.argv = [module]
    profiler = cProfile.Profile(time.thread_time)
    signal.signal(BEGIN, lambda _number, _frame: profiler.enable())
    try:
        runpy.run_module(module, run_name="__main__")
    finally:
        profiler.disable()
        profiler.dump_stats(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
