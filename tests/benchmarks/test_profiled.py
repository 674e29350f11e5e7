from __future__ import annotations

import cProfile
from typing import TYPE_CHECKING

from benchmarks.profiled import configuration_with_profiler, read_profile
from ccarchiver_sim.testbed.supervisor import WORKERS

if TYPE_CHECKING:
    from pathlib import Path


def costly() -> int:
    return sum(len(str(number)) for number in range(1000))


def test_all_three_workers_run_under_the_profiler(tmp_path: Path) -> None:
    written = configuration_with_profiler(tmp_path).read_text(encoding="utf-8").splitlines()
    commands = [line for line in written if line.startswith("command=")]
    assert len(commands) == len(WORKERS) + 1, (
        "the workers, and the event listener without the profiler"
    )
    for worker in WORKERS:
        wanted = f"-m benchmarks.profiled ccarchiver_{worker}.main {tmp_path / worker}.prof"
        assert sum(line.endswith(wanted) for line in commands) == 1


def test_read_profile_returns_the_costs_of_one_image(tmp_path: Path) -> None:
    profiler = cProfile.Profile()
    for _ in range(4):
        profiler.runcall(costly)
    profiler.dump_stats(tmp_path / "a.prof")
    one, four = (
        next(
            cost
            for cost in read_profile(tmp_path / "a.prof", images)
            if cost.name.endswith(" costly")
        )
        for images in (4, 1)
    )
    assert (one.calls, four.calls) == (1, 4)
    assert 0 < one.own_us <= one.all_us < four.all_us
