"""The peers of a campaign: one Controller, one OODS, and always a spare Forwarder."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from ccarchiver_sim.testbed.rig import CONTROLLER, OODS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_sim.testbed.peer_process import Peer
    from ccarchiver_sim.testbed.rig import Rig

MODULES = {
    CONTROLLER: "ccarchiver_sim.peers.controller.main",
    OODS: "ccarchiver_sim.peers.oods.main",
}
FORWARDERS = 2
"""One that is paired and one that can take over."""


class PeerPool:
    """Peers that scenarios start, replace and end.

    Parameters
    ----------
    rig
        Testbed to which they belong.
    settings
        Settings of its site.
    redis
        Returns a client of the archiver's database.
    forwarder_options
        Options of every Forwarder.
    """

    def __init__(
        self,
        rig: Rig,
        settings: Settings,
        redis: Callable[[], Redis],
        forwarder_options: Sequence[str] = (),
    ) -> None:
        self._rig = rig
        self._forwarder_options = forwarder_options
        self._settings = settings
        self._redis = redis
        self._numbers = itertools.count(1)
        self._changing = asyncio.Lock()
        self.forwarders: list[Peer] = []
        self._bad: list[Peer] = []
        self._holders: dict[str, Peer] = {}

    async def make_whole(self) -> None:
        """Start the missing peers: one Controller, one OODS and two Forwarders.

        Running peers stay.
        """
        async with self._changing:
            missing = [
                role
                for role in MODULES
                if role not in self._holders or not self._holders[role].is_running
            ]
            started = [self._start(role) for role in missing]
            self.forwarders = [peer for peer in self.forwarders if peer.is_running]
            while len(self.forwarders) < FORWARDERS:
                started.append(self.new_forwarder())
            await asyncio.gather(*(peer.wait_ready() for peer in started))

    async def restart(self, role: str) -> None:
        """Start the Controller or the OODS again if it does not run."""
        async with self._changing:
            if not self._holders[role].is_running:
                await self._start(role).wait_ready()

    def holder(self, role: str) -> Peer:
        """Return the Controller or the OODS that runs now, or that ran last."""
        return self._holders[role]

    def new_forwarder(self, *options: str) -> Peer:
        """Start a Forwarder without waiting for it.

        Its name is new, so no message for an earlier Forwarder reaches it.
        """
        name = f"fwd{next(self._numbers)}"
        peer = self._rig.start_forwarder(name, *self._forwarder_options, *options)
        self.forwarders.append(peer)
        return peer

    async def set_bad_forwarders(self, *options: tuple[str, ...]) -> None:
        """Replace all Forwarders by faulty ones, one for each tuple of options, and a good one."""
        async with self._changing:
            await self._end_forwarders(self.forwarders)
            self._bad = [self.new_forwarder(*words) for words in options]
            await asyncio.gather(*(peer.wait_ready() for peer in self._bad))
            await self.new_forwarder().wait_ready()

    async def retire_bad_forwarders(self) -> None:
        """End the faulty Forwarders; `make_whole` starts new ones."""
        async with self._changing:
            await self._end_forwarders(self._bad)
            self._bad = []

    async def _end_forwarders(self, peers: list[Peer]) -> None:
        await self._rig.end_peers([peer.name for peer in peers if peer.is_running])
        self.forwarders = [peer for peer in self.forwarders if peer not in peers]

    async def replace(self, role: str, *options: str) -> None:
        """Start another Controller or OODS with options, then end the previous one.

        In this sequence one is always running: the time a peer needs to start on a busy machine is
        not part of the scenario. The new one receives the messages that the previous one had not
        acknowledged.
        """
        async with self._changing:
            before = self._holders[role]
            await self._start(role, *options).wait_ready()
            await self._rig.end_peers([before.name])

    def _start(self, role: str, *options: str) -> Peer:
        peer = self._holders[role] = self._rig.peer(
            f"{role}{next(self._numbers)}", MODULES[role], options
        )
        return peer

    async def paired(self) -> Peer:
        """Return the Forwarder that the association key names.

        Raises
        ------
        LookupError
            If the key names no Forwarder of this pool.
        """
        async with self._redis() as client:
            hostname = str(await client.get(self._settings.association_key))
        for peer in self.forwarders:
            if peer.name == hostname:
                return peer
        raise LookupError(
            f"paired with {hostname}, which is none of {[peer.name for peer in self.forwarders]}"
        )
