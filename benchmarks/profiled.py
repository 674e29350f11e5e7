"""A worker under Python's profiler, and what the profiler found.

CPU time of the event loop's thread: what a worker waits for is not in it, nor what salobj's threads do. The profiler
makes each call of a Python function dearer by about a microsecond, so small functions look more expensive than they
are; what it is for is finding where the time goes, not how long it is.
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
from benchmarks.stage import Stage
from ccarchiver_sim.testbed.supervisor import CONFIGURATION, WORKERS

SHOWN = 25
"""Functions of each worker: those behind the twenty-fifth take less than a hundredth."""
US_PER_S = 1e6
FOLDER_VARIABLE = "CCARCHIVER_BENCH_PROFILES"
BEGIN = signal.SIGUSR1
"""On this a worker begins to count: its start, with all that is imported, would cover the rest."""


def configuration_with_profiler(folder: Path) -> Path:
    """Write a supervisord configuration whose workers run under the profiler and write into the folder at their end."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    for worker in WORKERS:
        program = f"run_ccarchiver_{worker}"
        profiled = f"{sys.executable} -m benchmarks.profiled ccarchiver_{worker}.main {folder / worker}.prof"
        if f" {program}\n" not in text:
            raise RuntimeError(f"{CONFIGURATION} has no command that runs {program}; mend benchmarks/profiled.py")
        text = text.replace(f" {program}\n", f" {profiled}\ndirectory={ROOT}\n")
    path = folder / "supervisord.conf"
    path.write_text(text, encoding="utf-8")
    return path


def begin(stage: Stage) -> None:
    """Have all workers count from now on."""
    for worker in WORKERS:
        stage.rig.supervisor.signal_worker(worker, BEGIN)


@dataclass(frozen=True)
class Cost:
    """One function, for an image: how often it is called, its own time and that with all it calls, in microseconds."""

    name: str
    calls: float
    own_us: float
    all_us: float


def read_profile(path: Path, images: int) -> list[Cost]:
    """Read what a worker's profiler wrote."""
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]  # not in its stubs
    return [
        Cost(_name(*place), calls / images, own * US_PER_S / images, whole * US_PER_S / images)
        for place, (_, calls, own, whole, _) in stats.items()
    ]


def _name(file: str, line: int, function: str) -> str:
    if file == "~":
        return function
    path = Path(file)
    where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    parts = where.parts[where.parts.index("site-packages") + 1 :] if "site-packages" in where.parts else where.parts
    return f"{'/'.join(parts[-3:])}:{line} {function}"


def show_profiles(folder: Path, images: int, console: Console) -> None:
    """Print the dearest functions of each worker: by their own time, and of ours by all they cause."""
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
    """Run a worker's module as its program does, and write the profile, from `BEGIN` on, when it ends."""
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
