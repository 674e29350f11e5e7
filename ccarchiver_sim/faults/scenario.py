"""Base class of the scenarios: one kind of fault, with its begin and its end."""

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import suppress

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.result import Fault
from ccarchiver_sim.faults.services import NOTHING, Service

OUTAGES_S = (1.0, 5.0, 30.0, 120.0)
"""Durations of outages: an interruption, a restart, a reboot, the arrival of a person."""

LONGEST_USUAL_S = 30.0
"""Longer outages are only for long campaigns."""
BACKLOG = 30
"""Most images taken during one outage. The simulated Forwarder processes seven a second, and its
time for a backlog is no property of the archiver."""


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
    lasts_until_restored: bool = False
    """Whether only `restore` ends the fault."""
    rate: float = 3.0
    """Exposures per second while it runs, on an idle machine."""
    may_fault: bool = False
    """Whether the CSC may go to FAULT, because the fault needs an operator."""

    needs_redis_group: bool = False
    """Whether Redis must be a master with replicas and Sentinels, for which the campaign starts
    another testbed."""

    needs_catch_up: bool = False
    """Whether each exposure that the camera takes must be delivered, also one whose events the
    archiver could not receive. The campaign starts another testbed for it."""

    unattended: tuple[float, ...] | None = None
    """Outages that end before an operator is needed; None for all of them, or for no outage if
    `may_fault` is set."""
    variants: tuple[str, ...] = ()
    """What one round can act on, where a scenario chooses; each round takes another one."""
    parts: frozenset[Part] = frozenset()
    """What the fault puts into a state of its own; see `parts_of`."""
    removes: frozenset[Service] = NOTHING
    """What the testbed does not have from `inject` to `heal`."""
    inject_needs: frozenset[Service] = NOTHING
    """What the testbed needs for `prepare` and `inject`."""
    heal_needs: frozenset[Service] = NOTHING
    revive_needs: frozenset[Service] = NOTHING

    def __init__(self) -> None:
        self.variant = ""
        """The only variant to use; empty if the scenario chooses."""
        self.is_alone = True
        """Whether no other fault is injected at the same time: some expectations hold only then."""
        self.notes: list[str] = []
        """Remarks for the reader of the results."""
        self.failures: list[str] = []
        """Expectations other than the delivery of images that were not met."""

    @property
    def needs_other_testbed(self) -> bool:
        """Whether it cannot run on the testbed of most scenarios."""
        return self.needs_redis_group or self.needs_catch_up

    def unattended_outages(self) -> tuple[float, ...]:
        """Return the outages that the archiver must survive without an operator."""
        if self.unattended is not None:
            return self.unattended
        return () if self.may_fault else self.outages

    def parts_of(self, variant: str) -> frozenset[Part]:  # noqa: ARG002 - for those with variants
        """Return the parts that one variant puts into a state of its own.

        Two faults of the same part cannot exist at the same time.
        """
        return self.parts

    async def prepare(self, testbed: FaultTestbed) -> None:  # noqa: B027 - most scenarios need nothing
        """Prepare the testbed before the first exposure."""

    async def aim(self, testbed: FaultTestbed) -> None:  # noqa: B027 - most scenarios have one target
        """Find out what `inject` will act on; called before each round, with Redis."""

    @abstractmethod
    async def inject(self, testbed: FaultTestbed) -> None:
        """Begin the fault."""

    async def heal(self, testbed: FaultTestbed) -> None:  # noqa: B027 - some faults end by themselves
        """End the fault."""

    async def revive(self, testbed: FaultTestbed) -> None:  # noqa: B027 - most faults end no peer
        """Start the peers that the fault has ended, as their own supervision does."""

    async def check(self, testbed: FaultTestbed) -> None:  # noqa: B027 - the oracle is sufficient for most
        """Check other expectations after the delivery of the images.

        They hold only if no other fault was injected at the same time.
        """

    async def restore(self, testbed: FaultTestbed) -> None:  # noqa: B027 - most scenarios change nothing
        """Restore the testbed after the delivery of the images."""

    async def run_round(
        self, testbed: FaultTestbed, outage: float, injected: asyncio.Event | None = None
    ) -> list[Fault]:
        """Begin the fault, end it after `outage` seconds, and start the peers that it has ended.

        Other rounds can run at the same time: each one waits for what another has taken away.

        Parameters
        ----------
        testbed
            The testbed.
        outage
            Seconds from the end of `inject` to the begin of `heal`.
        injected
            Is set as soon as the fault has begun, or could not begin.

        Returns
        -------
        faults
            Begin and end of each injected fault.
        """
        services = testbed.services
        async with services.removing(self.removes):
            began = time.monotonic()
            try:
                try:
                    async with services.using(self.inject_needs):
                        began = time.monotonic()
                        await self.inject(testbed)
                finally:
                    if injected is not None:
                        injected.set()
                ended = time.monotonic()
                await asyncio.sleep(outage)
            except Exception:
                # What has begun must not stay for the scenarios that follow.
                with suppress(Exception):
                    await self.heal(testbed)
                raise
            async with services.using(self.heal_needs):
                await self.heal(testbed)
        async with services.using(self.revive_needs):
            await self.revive(testbed)
        return [Fault(began, ended if self.ends_at_once else time.monotonic())]

    def expect(self, *, condition: bool, otherwise: str) -> None:
        """Record a failure if a condition does not hold."""
        if not condition:
            self.failures.append(otherwise)
