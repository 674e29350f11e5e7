"""The peers of a campaign: one Controller, one OODS, and always a second Forwarder to take over."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from ccarchiver_sim.testbed.rig import CONTROLLER, OODS

if TYPE_CHECKING:
    from ccarchiver_sim.faults.fault_testbed import Stage
    from ccarchiver_sim.testbed.peer_process import Peer

MODULES = {CONTROLLER: "ccarchiver_sim.peers.controller.main", OODS: "ccarchiver_sim.peers.oods.main"}
FORWARDERS = 2
"""One in use, one to take over."""


class PeerPool:
    """Peers that come, misbehave and go.

    Parameters
    ----------
    stage
        Whose rig they belong to.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._numbers = itertools.count(1)
        self.forwarders: list[Peer] = []
        self._bad: list[Peer] = []
        self._holders: dict[str, Peer] = {}

    async def make_whole(self) -> None:
        """Have one of each, well-behaved, and two Forwarders; peers that are well stay."""
        missing = [role for role in MODULES if role not in self._holders or not self._holders[role].is_running]
        started = [self._start(role) for role in missing]
        self.forwarders = [peer for peer in self.forwarders if peer.is_running]
        while len(self.forwarders) < FORWARDERS:
            started.append(self.new_forwarder())
        await asyncio.gather(*(peer.wait_ready() for peer in started))

    def holder(self, role: str) -> Peer:
        """Return the Controller or the OODS that runs now, or ran last."""
        return self._holders[role]

    def new_forwarder(self, *options: str) -> Peer:
        """Start a Forwarder with a name that none had before, so that nothing old reaches it; do not wait for it."""
        peer = self._stage.rig.start_forwarder(f"fwd{next(self._numbers)}", *options)
        self.forwarders.append(peer)
        return peer

    async def set_bad_forwarders(self, *options: tuple[str, ...]) -> None:
        """End all Forwarders and start bad ones, one for each tuple of options, and behind them a good one."""
        await self._end_forwarders(self.forwarders)
        self._bad = [self.new_forwarder(*words) for words in options]
        await asyncio.gather(*(peer.wait_ready() for peer in self._bad))
        await self.new_forwarder().wait_ready()

    async def retire_bad_forwarders(self) -> None:
        """End the bad ones; `make_whole` fills up."""
        await self._end_forwarders(self._bad)
        self._bad = []

    async def _end_forwarders(self, peers: list[Peer]) -> None:
        await self._stage.rig.end_peers([peer.name for peer in peers if peer.is_running])
        self.forwarders = [peer for peer in self.forwarders if peer not in peers]

    async def replace(self, role: str, *options: str) -> None:
        """Start another Controller or OODS with options, then end the one before.

        In this order there is always one: how long one takes to start on a busy machine is no part of the scenario.
        What the one before had not acknowledged comes to the new one.
        """
        before = self._holders[role]
        await self._start(role, *options).wait_ready()
        await self._stage.rig.end_peers([before.name])

    def _start(self, role: str, *options: str) -> Peer:
        peer = self._holders[role] = self._stage.rig.peer(f"{role}{next(self._numbers)}", MODULES[role], options)
        return peer

    async def paired(self) -> Peer:
        """Return the Forwarder that the association key names.

        Raises
        ------
        LookupError
            If it names none of ours.
        """
        async with self._stage.redis() as client:
            hostname = str(await client.get(self._stage.settings.association_key))
        for peer in self.forwarders:
            if peer.name == hostname:
                return peer
        raise LookupError(f"paired with {hostname}, which is none of {[peer.name for peer in self.forwarders]}")
