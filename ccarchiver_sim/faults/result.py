"""Figures of one scenario, computed from its images' traces and the times of its faults."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ccarchiver_sim.faults.oracle import Oracle

NORMAL_S = 2.0
"""Limit for a delivery without a fault: 0.2 s after its last event is usual, 1 s on a busy machine.
An image that takes longer was delayed by a fault."""


@dataclass(frozen=True)
class Fault:
    """Begin and end of one fault, in seconds of the monotonic clock."""

    began: float
    ended: float


@dataclass
class Result:
    """Figures of one scenario."""

    scenario: str
    faults: int
    """Number of injected faults; in a kill scenario, of deaths."""
    accepted: int
    delivered: int
    lost: int
    dead_lettered: int
    """Images that are kept as dead letters with the reason, where that is correct."""
    incomplete: int
    """Images without the events of statuses that RabbitMQ dropped with a queue. The archiver cannot
    know of these statuses, and shows such an image as unfinished."""
    duplicated: int
    """Status events that were published twice, because of the time between an event and its
    record."""
    recovered: int
    """Images that a fault delayed and that were delivered nevertheless."""
    slowest_recovery_s: float
    """Time from the end of a fault to the delivery of the last image that it had delayed."""
    csc_faults: list[int] = field(default_factory=list)
    """Error codes with which the CSC went to FAULT, which only an operator ends."""
    failures: list[str] = field(default_factory=list)
    """Other failures; lost images are also named here."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was lost and no other check failed."""
        return self.lost == 0 and not self.failures

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a JSON file."""
        return asdict(self) | {"passed": self.passed}


def judge(oracle: Oracle, run: int, scenario: str, faults: Sequence[Fault]) -> Result:
    """Return the figures of a scenario run."""
    traces = oracle.of(run)
    accepted = oracle.accepted(run)
    incomplete = {trace.obsid for trace in oracle.incomplete(run)}
    recovered, slowest, lost, dead_lettered = 0, 0.0, 0, 0
    for trace in accepted:
        at = oracle.delivered_at(trace)
        if at is None:
            lost += not trace.is_dead_lettered and trace.obsid not in incomplete
            dead_lettered += trace.is_dead_lettered
            continue
        held_up_by = [
            fault for fault in faults if fault.began <= at and trace.first_put <= fault.ended
        ]
        if at - trace.last_put > NORMAL_S and held_up_by:
            recovered += 1
            slowest = max(slowest, at - held_up_by[-1].ended)
    return Result(
        scenario=scenario,
        faults=len(faults),
        accepted=len(accepted),
        delivered=len(accepted) - lost - dead_lettered - len(incomplete),
        incomplete=len(incomplete),
        dead_lettered=dead_lettered,
        lost=lost,
        duplicated=sum(trace.duplicates for trace in traces),
        recovered=recovered,
        slowest_recovery_s=round(slowest, 2),
        failures=[oracle.describe(trace) for trace in oracle.outstanding(run)],
    )


def total(results: Sequence[Result]) -> Result:
    """Return the sum of the figures of all scenarios."""
    return Result(
        scenario="total",
        faults=sum(result.faults for result in results),
        accepted=sum(result.accepted for result in results),
        delivered=sum(result.delivered for result in results),
        lost=sum(result.lost for result in results),
        dead_lettered=sum(result.dead_lettered for result in results),
        incomplete=sum(result.incomplete for result in results),
        duplicated=sum(result.duplicated for result in results),
        recovered=sum(result.recovered for result in results),
        slowest_recovery_s=max((result.slowest_recovery_s for result in results), default=0.0),
        csc_faults=[code for result in results for code in result.csc_faults],
        failures=[f"{result.scenario}: {text}" for result in results for text in result.failures],
        seconds=round(sum(result.seconds for result in results), 1),
    )
