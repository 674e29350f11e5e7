"""How long the images of a night waited after each fault."""

from collections.abc import Sequence
from dataclasses import dataclass

from ccarchiver_sim.faults.oracle import Oracle
from ccarchiver_sim.faults.result import NORMAL_S


@dataclass
class FaultRecord:
    """One fault that was injected; times are of the monotonic clock."""

    name: str
    began: float
    ended: float
    settled: float = 0.0
    """When all images from before its end were delivered."""
    delayed: int = 0
    """Images that it delayed and that were delivered nevertheless."""
    recovery_s: float = 0.0
    """Time from its end to the delivery of the last of these images."""


def attribute_delays(oracle: Oracle, run: int, faults: Sequence[FaultRecord]) -> int:
    """Add each delayed image to the last fault that can have delayed it.

    Returns
    -------
    others
        Number of delayed images without such a fault.
    """
    others = 0
    for trace in oracle.accepted(run):
        at = oracle.delivered_at(trace)
        if at is None or at - trace.last_put <= NORMAL_S:
            continue
        causes = [
            fault for fault in faults if fault.began <= at and trace.first_put <= fault.settled
        ]
        if not causes:
            others += 1
            continue
        cause = max(causes, key=lambda fault: fault.began)
        cause.delayed += 1
        cause.recovery_s = max(cause.recovery_s, at - cause.ended)
    return others
