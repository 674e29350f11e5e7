"""The exposures and the faults of a night, drawn with a seed."""

import random
from dataclasses import dataclass

from ccarchiver_sim.faults.pairs import Choice
from ccarchiver_sim.faults.registry import MAKERS

HOUR_S = 3600.0
CADENCE_S = (15.0, 30.0)
"""Time from one exposure to the next; each group has its own."""
GROUP = (5, 20)
"""Exposures of a group."""
GAP_S = (60.0, 300.0)
"""Time between two groups, for the telescope and the filter."""
OPEN_SHARE = 0.6
"""Part of the cadence from startIntegration to endReadout."""
FAULTS_PER_HOUR = (1, 3)
LONGEST_OUTAGE_S = 300.0
"""At full cadence; scaled like the time between two faults."""


@dataclass(frozen=True)
class NightPlan:
    """Duration and pace of a night."""

    hours: float
    """Real duration."""
    scale: float
    """Factor of all times between exposures and between faults: at 0.1, one hour has the exposures
    and the faults of ten. Outages and the deadlines of the archiver stay."""
    seed: int

    @property
    def seconds(self) -> float:
        """Real duration in seconds."""
        return self.hours * HOUR_S


@dataclass(frozen=True)
class PlannedExposure:
    """One exposure; times are real seconds from the begin of the night."""

    at: float
    duration: float


@dataclass(frozen=True)
class PlannedFault:
    """One fault, at a time in real seconds from the begin of the night."""

    at: float
    choice: Choice


@dataclass(frozen=True)
class Schedule:
    """All that happens in a night, in the sequence of the times."""

    groups: tuple[tuple[PlannedExposure, ...], ...]
    faults: tuple[PlannedFault, ...]


def candidates() -> list[str]:
    """Return the scenarios that the archiver must survive without an operator.

    The others need one by contract, however short they are: a Controller that rejects images or
    leaves an instruction without an answer makes the CSC go to FAULT. Those with a Redis group are
    left out too: the others act on the one Redis server that a night has.
    """
    return [
        name
        for name, make in MAKERS.items()
        if make().unattended_outages() and not make().needs_other_testbed
    ]


def draw_schedule(plan: NightPlan) -> Schedule:
    """Return the schedule of a night; the same plan gives the same one."""
    return Schedule(_draw_groups(plan), _draw_faults(plan))


def _draw_groups(plan: NightPlan) -> tuple[tuple[PlannedExposure, ...], ...]:
    chance = random.Random(f"exposures {plan.seed}")  # noqa: S311 - choices that can be repeated
    groups = []
    at = 0.0
    while at < plan.seconds:
        cadence = chance.uniform(*CADENCE_S) * plan.scale
        times = [at + number * cadence for number in range(chance.randint(*GROUP))]
        groups.append(
            tuple(
                PlannedExposure(time, cadence * OPEN_SHARE) for time in times if time < plan.seconds
            )
        )
        at = times[-1] + cadence + chance.uniform(*GAP_S) * plan.scale
    return tuple(groups)


def _draw_faults(plan: NightPlan) -> tuple[PlannedFault, ...]:
    chance = random.Random(f"faults {plan.seed}")  # noqa: S311 - choices that can be repeated
    hour = HOUR_S * plan.scale
    deck: list[str] = []
    faults = []
    begin = 0.0
    while begin < plan.seconds:
        for at in sorted(chance.uniform(begin, begin + hour) for _ in range(_number(chance))):
            if not deck:
                # Random, but none is repeated before all were used.
                deck = candidates()
                chance.shuffle(deck)
            faults.append(PlannedFault(at, _draw_choice(chance, deck.pop(), plan.scale)))
        begin += hour
    return tuple(fault for fault in faults if fault.at < plan.seconds)


def _number(chance: random.Random) -> int:
    return chance.randint(*FAULTS_PER_HOUR)


def _draw_choice(chance: random.Random, name: str, scale: float) -> Choice:
    scenario = MAKERS[name]()
    outages = scenario.unattended_outages()
    limit = max(LONGEST_OUTAGE_S * scale, min(outages))
    outage = chance.choice([outage for outage in outages if outage <= limit])
    return Choice(name, chance.choice(scenario.variants or ("",)), outage)
