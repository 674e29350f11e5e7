"""The schedule of a night is repeatable and has the pace of a real one."""

from __future__ import annotations

import itertools

import pytest

from ccarchiver_sim.faults.registry import MAKERS
from ccarchiver_sim.night.main import clock
from ccarchiver_sim.night.schedule import (
    CADENCE_S,
    GROUP,
    HOUR_S,
    LONGEST_OUTAGE_S,
    NightPlan,
    candidates,
    draw_schedule,
)

NIGHT = NightPlan(hours=8.0, scale=1.0, seed=1)
SHORT = NightPlan(hours=2.0, scale=0.1, seed=1)


def test_same_plan_gives_the_same_schedule() -> None:
    assert draw_schedule(NIGHT) == draw_schedule(NightPlan(8.0, 1.0, 1))
    assert draw_schedule(NIGHT) != draw_schedule(NightPlan(8.0, 1.0, 2))


@pytest.mark.parametrize("plan", [NIGHT, SHORT])
def test_exposures_of_a_group_follow_each_other_at_one_cadence(plan: NightPlan) -> None:
    shortest, longest = (cadence * plan.scale for cadence in CADENCE_S)
    for group in draw_schedule(plan).groups:
        assert len(group) <= GROUP[1]
        for before, after in itertools.pairwise(group):
            assert shortest - 1e-6 <= after.at - before.at <= longest + 1e-6
            assert before.duration < after.at - before.at


@pytest.mark.parametrize("plan", [NIGHT, SHORT])
def test_groups_and_faults_are_within_the_night(plan: NightPlan) -> None:
    schedule = draw_schedule(plan)
    times = [exposure.at for group in schedule.groups for exposure in group]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < plan.seconds
    assert all(0 <= fault.at < plan.seconds for fault in schedule.faults)


@pytest.mark.parametrize("plan", [NIGHT, SHORT])
def test_each_hour_of_the_scale_has_one_to_three_faults(plan: NightPlan) -> None:
    hour = HOUR_S * plan.scale
    faults = draw_schedule(plan).faults
    for number in range(round(plan.seconds / hour)):
        inside = [f for f in faults if number * hour <= f.at < (number + 1) * hour]
        assert 1 <= len(inside) <= 3


def test_no_scenario_is_repeated_before_all_were_used() -> None:
    names = [fault.choice.scenario for fault in draw_schedule(NightPlan(8.0, 0.1, 1)).faults]
    first = names[: len(candidates())]
    assert sorted(first) == sorted(candidates())


def test_faults_that_need_an_operator_are_left_out() -> None:
    left_out = {name for name, make in MAKERS.items() if make().may_fault} - set(candidates())
    assert left_out == {"controller-silent", "controller-negative", "controller-hostile"}
    # Shorter than REASSIGN_GRACE it needs none.
    assert MAKERS["forwarders-gone"]().unattended_outages() == (3.0,)


def test_faults_that_need_another_testbed_are_left_out() -> None:
    assert not [name for name in candidates() if MAKERS[name]().needs_other_testbed]


def test_outages_are_unattended_and_scaled() -> None:
    for seed in range(20):
        for fault in draw_schedule(NightPlan(2.0, 0.1, seed)).faults:
            outages = MAKERS[fault.choice.scenario]().unattended_outages()
            assert fault.choice.outage in outages
            assert fault.choice.outage <= max(LONGEST_OUTAGE_S * 0.1, min(outages))


def test_time_of_the_timeline() -> None:
    assert clock(0.9) == "0:00:00"
    assert clock(3 * 3600 + 62.3) == "3:01:02"
