"""Every scenario can be created, has a unique name and can be selected."""

from __future__ import annotations

from ccarchiver_sim.faults.registry import FAMILIES, MAKERS, SHORT


def test_scenario_names_are_unique() -> None:
    assert len(MAKERS) == sum(len(family.SCENARIOS) for family in FAMILIES)


def test_each_scenario_describes_itself_in_one_line() -> None:
    for name, make in MAKERS.items():
        scenario = make()
        assert scenario.name == name
        assert scenario.about
        assert "\n" not in scenario.about
        assert scenario.outages


def test_runs_of_a_scenario_do_not_share_notes() -> None:
    make = MAKERS["kill-sal"]
    make().notes.append("something")
    assert not make().notes


def test_a_short_campaign_has_a_scenario_of_each_family() -> None:
    for family in FAMILIES:
        if all(make().needs_other_testbed for make in family.SCENARIOS):
            continue  # they need a testbed of their own
        assert not {make().name for make in family.SCENARIOS}.isdisjoint(SHORT), family.__name__
    assert [name for name in MAKERS if name in SHORT] == list(SHORT), (
        "in the order of a whole campaign"
    )
