"""Scenarios with a Controller or OODS that is killed, silent, slow, negative or hostile."""

import asyncio
from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.services import ALL, Service
from ccarchiver_sim.faults.timing import ACK_TIMEOUT_S, LATE_ACK_S
from ccarchiver_sim.testbed.rig import CONTROLLER, OODS

PARTS = {CONTROLLER: Part.CONTROLLER, OODS: Part.OODS}
QUEUES = frozenset({Service.RABBITMQ})
"""What a Controller and an OODS need to start."""
HOSTILE = "/tmp/$(touch owned)/../../etc/;rm -rf ./"  # noqa: S108 - rejected, never used
"""Directory that the Forwarder would put into a shell command."""


class UnavailablePeer(Scenario):
    """A peer is killed and started again.

    Parameters
    ----------
    peer
        Name of the peer.
    outages
        For how long.
    may_fault
        Whether the longer outages need an operator.
    """

    revive_needs = QUEUES

    def __init__(self, peer: str, outages: tuple[float, ...], *, may_fault: bool) -> None:
        super().__init__()
        self.name = f"{peer}-killed"
        self.about = f"the {peer} is killed and started again"
        self.outages = outages
        self.may_fault = may_fault
        self._peer = peer
        self.parts = frozenset({PARTS[peer]})

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        testbed.peer_pool.holder(self._peer).kill()

    @override
    async def revive(self, testbed: FaultTestbed) -> None:
        await testbed.peer_pool.restart(self._peer)


class BadController(Scenario):
    """A Controller that answers wrongly or not at all, and is then replaced by a good one.

    Parameters
    ----------
    name, about
        Name and description of the scenario.
    options
        Options of the faulty Controller.
    outage
        For how long.
    may_fault
        Whether the CSC may go to FAULT, so that an operator is needed.
    rejects_images
        Whether images are rejected and must be among the dead letters.
    """

    parts = frozenset({Part.CONTROLLER})
    inject_needs = QUEUES
    heal_needs = QUEUES

    def __init__(
        self,
        name: str,
        about: str,
        options: tuple[str, ...],
        *,
        outage: float = 3.0,
        may_fault: bool = True,
        rejects_images: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.about = about
        self.outages = (outage,)
        self.may_fault = may_fault
        # See `heal`.
        self.lasts_until_restored = not may_fault
        self._options = options
        self._rejects = rejects_images

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        testbed.may_reject_images = self._rejects
        await testbed.peer_pool.replace(CONTROLLER, *self._options)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        # A slow Controller still has answers to send, which would be lost with it.
        if self.may_fault:
            await testbed.peer_pool.replace(CONTROLLER)

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        if self._rejects:
            rejected = testbed.oracle.rejected(testbed.oracle.run)
            self.notes.append(f"{len(rejected)} images rejected, each with a dead letter")
            self.expect(
                condition=bool(rejected),
                otherwise="no image became a dead letter, but all were rejected",
            )

    @override
    async def restore(self, testbed: FaultTestbed) -> None:
        testbed.may_reject_images = False
        if not self.may_fault:
            await testbed.peer_pool.replace(CONTROLLER)


class Repeating(Scenario):
    """The Forwarder and the OODS send every status twice; each must cause one event."""

    name = "statuses-doubled"
    about = "Forwarder and OODS send every status twice; each causes one event"
    outages: tuple[float, ...] = (1.0,)
    lasts_until_restored = True
    parts = frozenset({Part.ALL_FORWARDERS, Part.OODS})
    inject_needs = ALL

    @override
    async def prepare(self, testbed: FaultTestbed) -> None:
        await asyncio.gather(
            testbed.peer_pool.set_bad_forwarders(("--duplicate-telemetry",)),
            testbed.peer_pool.replace(OODS, "--duplicate"),
        )

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        """Do nothing: `prepare` has started the faulty peers."""

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        doubled = sum(trace.duplicates for trace in testbed.oracle.of(testbed.oracle.run))
        self.expect(
            condition=doubled == 0,
            otherwise=f"{doubled} events were duplicated although no worker died",
        )

    @override
    async def restore(self, testbed: FaultTestbed) -> None:
        await asyncio.gather(
            testbed.peer_pool.retire_bad_forwarders(), testbed.peer_pool.replace(OODS)
        )


SCENARIOS = [
    partial(UnavailablePeer, CONTROLLER, (1.0,), may_fault=False),
    partial(UnavailablePeer, OODS, (1.0, 5.0, 30.0), may_fault=False),
    partial(
        BadController,
        "controller-silent",
        "the Controller does not answer NEW_CC_ARCHIVE_ITEM; FAULT, "
        "then an operator enables the CSC",
        ("--mute", "NEW_CC_ARCHIVE_ITEM"),
        outage=2.5 * ACK_TIMEOUT_S,
    ),
    partial(
        BadController,
        "controller-slow",
        "the Controller answers after the deadline, "
        "so it gets each instruction and answers it twice",
        ("--ack-delay", str(LATE_ACK_S)),
        may_fault=False,
    ),
    partial(
        BadController,
        "controller-negative",
        "the Controller rejects images (ACK_BOOL FALSE): dead letters and FAULT, "
        "others are delivered",
        ("--negative",),
        rejects_images=True,
    ),
    partial(
        BadController,
        "controller-hostile",
        "the Controller names a directory that would be a shell command: dead letters and FAULT",
        ("--target-dir", HOSTILE),
        rejects_images=True,
    ),
    Repeating,
]
