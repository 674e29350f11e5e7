"""Scenarios with a Controller or OODS that is killed, silent, slow, negative or hostile."""

import asyncio
from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.timing import ACK_TIMEOUT_S, LATE_ACK_S
from ccarchiver_sim.testbed.rig import CONTROLLER, OODS

HOSTILE = "/tmp/$(touch owned)/../../etc/;rm -rf ./"  # noqa: S108 - rejected, never used
"""Directory that the Forwarder would put into a shell command."""


class Away(Scenario):
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

    def __init__(self, peer: str, outages: tuple[float, ...], *, may_fault: bool) -> None:
        super().__init__()
        self.name = f"{peer}-killed"
        self.about = f"the {peer} is killed and started again"
        self.outages = outages
        self.may_fault = may_fault
        self._peer = peer

    @override
    async def inject(self, stage: Stage) -> None:
        stage.peer_pool.holder(self._peer).kill()

    @override
    async def heal(self, stage: Stage) -> None:
        await stage.peer_pool.make_whole()


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
    refuses
        Whether images are rejected and must be among the dead letters.
    """

    def __init__(
        self,
        name: str,
        about: str,
        options: tuple[str, ...],
        *,
        outage: float = 3.0,
        may_fault: bool = True,
        refuses: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.about = about
        self.outages = (outage,)
        self.may_fault = may_fault
        self._options = options
        self._refuses = refuses

    @override
    async def inject(self, stage: Stage) -> None:
        stage.may_be_refused = self._refuses
        await stage.peer_pool.replace(CONTROLLER, *self._options)

    @override
    async def heal(self, stage: Stage) -> None:
        # A slow Controller still has answers to send, which would be lost with it.
        if self.may_fault:
            await stage.peer_pool.replace(CONTROLLER)

    @override
    async def finish(self, stage: Stage) -> None:
        stage.may_be_refused = False
        if not self.may_fault:
            await stage.peer_pool.replace(CONTROLLER)
        if self._refuses:
            refused = stage.oracle.refused(stage.oracle.run)
            self.notes.append(f"{len(refused)} images rejected, each with a dead letter")
            self.expect(
                condition=bool(refused),
                otherwise="no image became a dead letter, but all were rejected",
            )


class Repeating(Scenario):
    """The Forwarder and the OODS send every status twice; each must cause one event."""

    name = "statuses-doubled"
    about = "Forwarder and OODS send every status twice; each causes one event"
    outages: tuple[float, ...] = (1.0,)

    @override
    async def prepare(self, stage: Stage) -> None:
        await asyncio.gather(
            stage.peer_pool.set_bad_forwarders(("--duplicate-telemetry",)),
            stage.peer_pool.replace(OODS, "--duplicate"),
        )

    @override
    async def inject(self, stage: Stage) -> None:
        """Do nothing: `prepare` has started the faulty peers."""

    @override
    async def finish(self, stage: Stage) -> None:
        doubled = sum(trace.duplicates for trace in stage.oracle.of(stage.oracle.run))
        self.expect(
            condition=doubled == 0,
            otherwise=f"{doubled} events were duplicated although no worker died",
        )
        await asyncio.gather(stage.peer_pool.retire_bad_forwarders(), stage.peer_pool.replace(OODS))


SCENARIOS = [
    partial(Away, CONTROLLER, (1.0,), may_fault=False),
    partial(Away, OODS, (1.0, 5.0, 30.0), may_fault=False),
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
        refuses=True,
    ),
    partial(
        BadController,
        "controller-hostile",
        "the Controller names a directory that would be a shell command: dead letters and FAULT",
        ("--target-dir", HOSTILE),
        refuses=True,
    ),
    Repeating,
]
