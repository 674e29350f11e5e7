"""A night of half a minute: its timeline, its figures, and nothing lost."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim import pace
from ccarchiver_sim.night.schedule import NightPlan, draw_schedule

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 100.0
SEED = 37
CCDS = 9
PLAN = NightPlan(hours=0.01, scale=0.02, seed=SEED)

pytestmark = [pytest.mark.integration, pytest.mark.extended]


def test_short_night_loses_nothing_and_needs_no_operator(tmp_path: Path) -> None:
    figures = tmp_path / "night.json"
    options = {"--hours": PLAN.hours, "--scale": PLAN.scale, "--seed": SEED, "--json": figures}
    words = [str(word) for option in options.items() for word in option]
    done = pace.run(
        [sys.executable, "-m", "ccarchiver_sim.night.main", *words],
        LIMIT_S,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    schedule = draw_schedule(PLAN)
    for fault in schedule.faults:
        assert f"{fault.choice.name}: its images are delivered" in done.stdout
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert found["taken"] == sum(len(group) for group in schedule.groups)
    assert found["result"]["lost"] == 0
    assert len(found["faults"]) == len(schedule.faults)
    butler = found["butler"]
    assert butler["datasets"] == butler["expected"] >= CCDS * found["result"]["delivered"] > 0
