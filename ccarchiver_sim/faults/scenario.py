"""What a scenario is: one kind of fault, how it begins and how it ends."""

from abc import ABC, abstractmethod

from ccarchiver_sim.faults.fault_testbed import Stage

OUTAGES_S = (1.0, 5.0, 30.0, 120.0)
"""For how long things are away: a blip, a restart, a reboot, a person who has to come."""


class Scenario(ABC):
    """One kind of fault; a new object is made for each run of it."""

    name: str
    about: str
    """One line, for ``--list``."""
    outages: tuple[float, ...] = (0.0,)
    """Seconds from the fault's beginning to its end; one round each, of which a short campaign makes the first."""
    is_kill: bool = False
    """Whether its rounds are deaths of workers, whose number the command line gives."""
    short_kills: int = 1
    """Rounds of a scenario of kills in a short campaign."""
    ends_at_once: bool = False
    """Whether the fault is over when it has begun, and what follows is the recovery."""
    rate: float = 3.0
    """Exposures a second while it runs, on a free machine."""
    may_fault: bool = False
    """Whether the CSC may go to FAULT: the fault is one that needs an operator."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """What a reader of the report should know."""
        self.failures: list[str] = []
        """What was expected besides the images, and did not happen."""

    async def prepare(self, stage: Stage) -> None:  # noqa: B027 - most need nothing
        """Set the stage before the first exposure."""

    @abstractmethod
    async def inject(self, stage: Stage) -> None:
        """Begin the fault."""

    async def heal(self, stage: Stage) -> None:  # noqa: B027 - some faults end by themselves
        """End the fault."""

    async def finish(self, stage: Stage) -> None:  # noqa: B027 - the oracle is enough for most
        """Check what is expected besides the images, when these have settled, and clear the stage."""

    def expect(self, *, condition: bool, otherwise: str) -> None:
        """Note a failure unless a condition holds."""
        if not condition:
            self.failures.append(otherwise)
