"""Pairs of faults that exist at the same time, drawn with a seed."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ccarchiver_sim.faults.registry import MAKERS
from ccarchiver_sim.faults.scenario import LONGEST_USUAL_S, Scenario

JOINT = " + "
"""Between the two names of a pair."""
FEW_PARTNERS = 6
"""A scenario with fewer unused partners is drawn before the others. Otherwise the last unused ones
often exclude each other: there are six for the Controller alone."""
LATEST_S = 1.0
"""Most seconds from the begin of the first fault to the begin of the second one."""


@dataclass(frozen=True)
class Exclusion:
    """Scenarios that cannot exist together, although they act on different parts."""

    ones: frozenset[str]
    others: frozenset[str]
    reason: str

    def concerns(self, one: str, other: str) -> bool:
        """Return whether it excludes two scenarios, in either sequence."""
        return (one in self.ones and other in self.others) or (
            other in self.ones and one in self.others
        )


EXCLUSIONS = (
    Exclusion(
        frozenset({"redis-full", "redis-rejects-writes"}),
        frozenset({"redis-disk-full", "redis-disk-full-everysec"}),
        "a Redis that rejects every write does not write to its disk and cannot find it full",
    ),
    Exclusion(
        frozenset({"redis-disk-full-everysec"}),
        frozenset({"redis-stopped", "redis-killed"}),
        "with fsync everysec on a full disk, Redis has answered writes that it cannot store before "
        "it ends; the archiver requires fsync always",
    ),
    Exclusion(
        frozenset({"rabbitmq-queue-deleted"}),
        frozenset({"network-lost-replies"}),
        "deliveries that are lost with a connection return to their queue, which is deleted",
    ),
    Exclusion(
        frozenset({"redis-failover-killed", "redis-failover-frozen", "redis-failover-requested"}),
        frozenset({"redis-full", "redis-rejects-writes", "network-lost-replies"}),
        "it concerns one Redis server or the proxy before it, and after a failover the workers use "
        "another server",
    ),
)
"""Combinations that the parts of the scenarios do not exclude."""


@dataclass(frozen=True)
class Choice:
    """One fault of a pair."""

    scenario: str
    variant: str
    """Empty for a scenario that has only one."""
    outage: float

    @property
    def name(self) -> str:
        """Name of the scenario and its variant."""
        return " ".join(filter(None, (self.scenario, self.variant)))


@dataclass(frozen=True)
class Pair:
    """Two faults, and when the second one begins."""

    first: Choice
    second: Choice
    delay: float
    """Seconds from the begin of the first fault to the begin of the second one."""
    is_ordered: bool
    """Whether the first fault must have begun before, because the second one takes away what is
    needed for it; `delay` then counts from the end of its injection."""

    @property
    def name(self) -> str:
        """Name of the pair, as ``--pair`` accepts it."""
        return f"{self.first.scenario}{JOINT}{self.second.scenario}"


def reason_against(one: Scenario, other: Scenario) -> str | None:
    """Return why two faults cannot exist at the same time; None if they can."""
    if one.needs_catch_up or other.needs_catch_up:
        return "the catch-up has another testbed, in which each exposure counts"
    for exclusion in EXCLUSIONS:
        if exclusion.concerns(one.name, other.name):
            return exclusion.reason
    if _variants_together(one, other):
        return None
    common = set.intersection(
        *(set(one.parts_of(a) & other.parts_of(b)) for a, b in _all_variants(one, other))
    )
    names = ", ".join(sorted(part.value for part in common)) or "the same part"
    return f"{names} can be in only one of the two states"


def possible_pairs() -> list[tuple[str, str]]:
    """Return the names of all pairs that can exist."""
    return [
        (one, other)
        for one, other in itertools.combinations(MAKERS, 2)
        if reason_against(MAKERS[one](), MAKERS[other]()) is None
    ]


def draw_pairs(
    seed: int, count: int, *, is_short: bool, within: Sequence[tuple[str, str]] = ()
) -> list[Pair]:
    """Return random pairs; a scenario is used again only after all others were.

    Parameters
    ----------
    seed
        The same seed gives the same pairs.
    count
        Number of pairs.
    is_short
        Whether to use only the shortest outage of each scenario.
    within
        Pairs of names from which to draw; all that can exist by default.
    """
    chance = random.Random(f"pairs {seed}")  # noqa: S311 - choices that can be repeated, not secrets
    names = list(within or possible_pairs())
    uses: Counter[str] = Counter()
    taken: Counter[tuple[str, str]] = Counter()
    drawn = []
    for _ in range(count):
        chance.shuffle(names)
        partners = _count_partners(names, uses)
        pair = min(
            names,
            key=lambda pair: (
                max(uses[name] for name in pair),
                taken[pair],
                _total(uses, pair),
                min(FEW_PARTNERS, *(partners[name] for name in pair)),
            ),
        )
        # Own choices, so that one pair alone is repeated as it was among others.
        own = random.Random(f"pair {seed} {pair} {taken[pair]}")  # noqa: S311 - as above
        drawn.append(_draw(own, pair, is_short=is_short))
        uses.update(pair)
        taken[pair] += 1
    return drawn


def _count_partners(names: Sequence[tuple[str, str]], uses: Counter[str]) -> Counter[str]:
    """Return for each scenario with how many others it can be drawn next, both least used."""
    fewest = min(uses[name] for pair in names for name in pair)
    return Counter(
        name for pair in names if all(uses[one] == fewest for one in pair) for name in pair
    )


def _total(uses: Counter[str], names: Iterable[str]) -> int:
    return sum(uses[name] for name in names)


def _draw(chance: random.Random, names: tuple[str, str], *, is_short: bool) -> Pair:
    one, other = (MAKERS[name]() for name in names)
    variants = chance.choice(_variants_together(one, other))
    choices = [
        Choice(scenario.name, variant, _outage(chance, scenario, is_short=is_short))
        for scenario, variant in zip((one, other), variants, strict=True)
    ]
    must_be_first = [
        bool(mine.inject_needs & yours.removes) for mine, yours in ((one, other), (other, one))
    ]
    is_swapped = must_be_first[1] or (not any(must_be_first) and chance.choice((True, False)))
    first, second = reversed(choices) if is_swapped else choices
    # The first must not be over before the second begins.
    delay = round(chance.uniform(0.0, min(first.outage, LATEST_S)), 2)
    return Pair(first, second, delay, is_ordered=any(must_be_first))


def _outage(chance: random.Random, scenario: Scenario, *, is_short: bool) -> float:
    if is_short:
        return scenario.outages[0]
    return chance.choice([outage for outage in scenario.outages if outage <= LONGEST_USUAL_S])


def _all_variants(one: Scenario, other: Scenario) -> Iterable[tuple[str, str]]:
    return itertools.product(one.variants or ("",), other.variants or ("",))


def _variants_together(one: Scenario, other: Scenario) -> list[tuple[str, str]]:
    """Return the variants of two scenarios that act on different parts."""
    return [
        (a, b)
        for a, b in _all_variants(one, other)
        if one.parts_of(a).isdisjoint(other.parts_of(b))
    ]
