"""One small real run of the benchmark of live exposures during a catch-up."""

from __future__ import annotations

import pytest

from benchmarks import catch_up, paths
from benchmarks.report import show
from benchmarks.result import Result, describe_machine
from ccarchiver_sim.console import make_console

# Extended: it runs for a minute, and no user depends on it.
pytestmark = [pytest.mark.integration, pytest.mark.extended]


@pytest.mark.asyncio
async def test_missed_exposures_are_archived_beside_live_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catch_up, "ROUNDS", 1)
    monkeypatch.setattr(catch_up, "MISSED", 3)
    monkeypatch.setattr(catch_up, "WITHOUT", 2)

    found = await catch_up.measure_catch_up(lambda _part: None)

    assert (found.missed, found.left) == (3, 0)
    assert [path.name for path in found.paths] == [path.name for path in paths.PATHS]
    assert all(path.during.missing == path.without.missing == 0 for path in found.paths)
    assert found.paths[0].without.count == 2
    assert found.paths[0].during.count >= 1
    console = make_console()
    with console.capture() as capture:
        show(Result(machine=describe_machine(), catch_up=found), console)
    assert "live exposures during a catch-up of 3" in capture.get()
