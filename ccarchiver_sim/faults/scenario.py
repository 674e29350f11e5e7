"""Base class of the scenarios: one kind of fault, with its begin and its end."""

from abc import ABC, abstractmethod

from ccarchiver_sim.faults.fault_testbed import Stage

OUTAGES_S = (1.0, 5.0, 30.0, 120.0)
"""Durations of outages: an interruption, a restart, a reboot, the arrival of a person."""


class Scenario(ABC):
    """One kind of fault; each run of it uses a new object."""

    name: str
    about: str
    """Description in one line, for ``--list``."""
    outages: tuple[float, ...] = (0.0,)
    """Seconds from the begin of the fault to its end, one round each. A short campaign runs only
    the first."""
    is_kill: bool = False
    """Whether its rounds are deaths of workers, whose number the command line sets."""
    short_kills: int = 1
    """Rounds of a kill scenario in a short campaign."""
    ends_at_once: bool = False
    """Whether the fault ends as soon as it has begun, so that the rest is the recovery."""
    rate: float = 3.0
    """Exposures per second while it runs, on an idle machine."""
    may_fault: bool = False
    """Whether the CSC may go to FAULT, because the fault needs an operator."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """Remarks for the reader of the results."""
        self.failures: list[str] = []
        """Expectations other than the delivery of images that were not met."""

    async def prepare(self, stage: Stage) -> None:  # noqa: B027 - most scenarios need nothing
        """Prepare the testbed before the first exposure."""

    @abstractmethod
    async def inject(self, stage: Stage) -> None:
        """Begin the fault."""

    async def heal(self, stage: Stage) -> None:  # noqa: B027 - some faults end by themselves
        """End the fault."""

    async def finish(self, stage: Stage) -> None:  # noqa: B027 - the oracle is sufficient for most
        """Check other expectations after the delivery of the images, and restore the testbed."""

    def expect(self, *, condition: bool, otherwise: str) -> None:
        """Record a failure if a condition does not hold."""
        if not condition:
            self.failures.append(otherwise)
