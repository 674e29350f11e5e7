"""Pairs of faults are repeatable, reach every scenario, and exclude only what cannot exist."""

from __future__ import annotations

from collections import Counter

import pytest

from ccarchiver_sim.faults.pairs import EXCLUSIONS, draw_pairs, possible_pairs, reason_against
from ccarchiver_sim.faults.registry import MAKERS


def test_same_seed_gives_the_same_pairs() -> None:
    assert draw_pairs(1, 30, is_short=False) == draw_pairs(1, 30, is_short=False)
    assert draw_pairs(1, 30, is_short=False) != draw_pairs(2, 30, is_short=False)


def test_named_pair_is_repeated_as_it_was_among_others() -> None:
    for pair in draw_pairs(1, 10, is_short=False):
        names = sorted((pair.first.scenario, pair.second.scenario), key=list(MAKERS).index)
        assert draw_pairs(1, 1, is_short=False, within=[(names[0], names[1])]) == [pair]


@pytest.mark.parametrize("seed", range(10))
def test_every_scenario_is_used_before_one_is_used_again(seed: int) -> None:
    possible = {name for name, make in MAKERS.items() if not make().needs_catch_up}
    drawn = draw_pairs(seed, (len(possible) + 1) // 2, is_short=True)
    uses = Counter(choice.scenario for pair in drawn for choice in (pair.first, pair.second))
    assert set(uses) == possible


def test_parts_of_a_pair_are_distinct() -> None:
    for pair in draw_pairs(4, 200, is_short=True):
        one, other = (MAKERS[choice.scenario]() for choice in (pair.first, pair.second))
        parts = one.parts_of(pair.first.variant) & other.parts_of(pair.second.variant)
        assert not parts, pair


def test_fault_that_needs_what_the_other_takes_away_begins_first() -> None:
    for pair in draw_pairs(5, 400, is_short=True):
        first, second = (MAKERS[choice.scenario]() for choice in (pair.first, pair.second))
        assert not second.inject_needs & first.removes, pair
        assert pair.is_ordered == bool(first.inject_needs & second.removes), pair
        assert pair.delay <= pair.first.outage


def test_fault_never_needs_what_it_takes_away_itself() -> None:
    for name, make in MAKERS.items():
        scenario = make()
        assert not scenario.removes & (scenario.inject_needs | scenario.heal_needs), name


def test_exclusions_name_existing_scenarios() -> None:
    for exclusion in EXCLUSIONS:
        assert (exclusion.ones | exclusion.others) <= MAKERS.keys()


@pytest.mark.parametrize(
    ("one", "other", "is_possible"),
    [
        ("kill-sal", "redis-killed", True),
        ("network-cut", "network-half-open", True),
        ("worker-frozen", "worker-hung", True),
        ("redis-full", "redis-killed", True),
        ("kill-sal", "kill-all", False),
        ("redis-killed", "redis-frozen", False),
        ("controller-slow", "controller-killed", False),
        ("redis-full", "redis-disk-full", False),
        ("rabbitmq-queue-deleted", "rabbitmq-killed", True),
        ("rabbitmq-queue-deleted", "kill-bridge", False),
        ("redis-failover-killed", "kill-sal", True),
        ("redis-failover-killed", "redis-failover-frozen", False),
        ("redis-failover-killed", "redis-killed", False),
        ("redis-failover-killed", "redis-full", False),
        ("missed-in-standby", "kill-sal", False),
        ("missed-in-standby", "missed-host-down", False),
    ],
)
def test_only_faults_of_different_parts_exist_together(
    one: str, other: str, *, is_possible: bool
) -> None:
    reason = reason_against(MAKERS[one](), MAKERS[other]())
    assert (reason is None) == is_possible
    assert ((one, other) in possible_pairs() or (other, one) in possible_pairs()) == is_possible
