"""The rig as the integration tests use it: one archiver, a new cast of peers for each test."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import redis
from lsst.ts import salobj

from ccarchiver_core.settings import load_settings
from ccarchiver_sim.brokers.ports import LOOPBACK
from ccarchiver_sim.rig import waiting
from ccarchiver_sim.rig.proof import prove
from ccarchiver_sim.rig.rig import CAMERA, HEADER_SERVICE, Rig
from ccarchiver_sim.rig.wiretap import WireTap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from ccarchiver_sim.brokers import PrivateRabbit, PrivateRedis
    from ccarchiver_sim.rig.peer import Peer

SHORT: Mapping[str, object] = {
    "ACK_TIMEOUT": 1,
    "PAIR_TIMEOUT": 4,
    "REASSIGN_GRACE": 4,
    "CONNECT_TIMEOUT": 2,
    "CONTROLLER_MISSES": 2,
    # A killed worker's successor waits for its lease to end.
    "LEASE_TTL": 3,
    "RESUME_WINDOW": 60,
    "DEGRADED_LIMIT": 60,
    "BROKER_AWAY_LIMIT": 120,
}
"""Settings with which a fault shows within seconds. Limits that a slow machine could hit by itself stay long."""

LIMIT_S = 60.0
"""For whatever is due; the tests never wait for it to pass."""
FORWARDER_LIST = "forwarder_list"
PRESENCE_KEY = "f99_association"


class Stage:
    """One archiver that stays up, its CSC, and peers that come and go."""

    def __init__(self, rig: Rig, tap: WireTap) -> None:
        self.rig = rig
        self.tap = tap
        self.sal = rig.observer
        settings = load_settings(rig.folder.site_file)
        self.association_key = settings.association_key
        self.expected = settings.files_per_image
        self._forwarder_numbers = itertools.count(1)
        self._database = settings.archiver_redis_db

        tap.listen_to(settings.archive_ctrl_consume_queue)

    # ---- the cast

    async def set(self, *forwarders: tuple[str, ...], controller: tuple[str, ...] = ()) -> list[Peer]:
        """Bring the CSC to STANDBY and start new peers; each tuple holds the options of one Forwarder.

        Returns
        -------
        peers
            The Forwarders, in order; the first one is the first on the list.
        """
        await self.clear()
        started = [self.rig.start_controller(*controller), self.rig.start_oods()]
        for name, start in ((CAMERA, self.rig.start_camera), (HEADER_SERVICE, self.rig.start_header_service)):
            # They have no state, and take seconds to find the others on the bus.
            if name not in self.rig.peers or not self.rig.peers[name].is_running:
                started.append(start())
        await asyncio.gather(*(peer.wait_ready() for peer in started))
        return [await self.add_forwarder(*options) for options in forwarders]

    async def add_forwarder(self, *options: str) -> Peer:
        """Start one more Forwarder and wait until it is on the list and serves its queue.

        As on every night but a Forwarder's first, its queue is there already.
        """
        name = self.next_name()
        self.tap.declare(queue_of(name))
        peer = self.start_forwarder(name, *options)
        await asyncio.gather(peer.wait_ready(), peer.wait_said("serving"))
        return peer

    async def add_new_forwarder(self, *options: str) -> Peer:
        """Start a Forwarder that never ran here: nobody has made its queue. It is on the list then."""
        peer = self.start_forwarder(self.next_name(), *options)
        await peer.wait_ready()
        return peer

    def start_forwarder(self, name: str, *options: str) -> Peer:
        """Start a Forwarder without waiting, and listen to what it is sent."""
        self.tap.listen_to(queue_of(name))
        return self.rig.start_forwarder(name, *options)

    def next_name(self) -> str:
        """Return a name that no Forwarder here had, so that nothing left in a queue can reach it."""
        return f"fwd{next(self._forwarder_numbers)}"

    async def clear(self) -> None:
        """End the peers that have state, bring the CSC to STANDBY and forget the Forwarders that were."""
        await self.sal.go_to(salobj.State.STANDBY)
        await self.rig.end_peers(name for name in self.rig.peers if name not in {CAMERA, HEADER_SERVICE})
        with self.redis() as client:
            client.delete(FORWARDER_LIST, PRESENCE_KEY)

    # ---- the CSC

    async def enable(self) -> None:
        """Bring the CSC to ENABLED."""
        await self.sal.go_to(salobj.State.ENABLED)

    async def start_expecting_fault(self) -> int:
        """Send `start`, which must fail, and return the error code reported."""
        mark = self.sal.mark
        # Whether the command is refused at once or the state falls after it is the CSC's choice.
        with suppress(salobj.AckError):
            await self.sal.command("start")
        return await self.fault_after(mark)

    async def fault_after(self, mark: int) -> int:
        """Wait for FAULT and return the first error code reported after a mark."""
        code = await self.sal.wait_error(since=mark)
        await self.sal.wait_state(salobj.State.FAULT)
        return code

    # ---- images

    async def image(self) -> str:
        """Take an image, wait until nothing of it is missing, and return its name."""
        name = self.rig.take()
        await self.completed(name)
        return name

    async def completed(self, name: str, limit: float = LIMIT_S) -> None:
        """Wait until nothing of an image is missing, on disk and on SAL."""
        await waiting.until(
            lambda: prove(self.sal, self.rig.folder, name).is_complete(self.expected),
            limit,
            lambda: f"{name} complete; so far {prove(self.sal, self.rig.folder, name)}; state {self.sal.state}",
        )

    async def begun(self, forwarder: Peer) -> str:
        """Begin an exposure, wait until the Forwarder has been sent its parameters, and return its name."""
        name = self.rig.begin_exposure()
        await self.sent_to(forwarder, "CC_FWDR_XFER_PARAMS", name)
        return name

    async def sent_to(self, forwarder: Peer, message_type: str, image: str) -> None:
        """Wait until a message about an image has been published to a Forwarder's queue."""
        key = queue_of(forwarder.name)
        await waiting.until(
            lambda: bool(self.tap.heard(message_type, key, IMAGE_ID=image)),
            LIMIT_S,
            lambda: f"{message_type} of {image} to {key}; that queue was sent {self.tap.heard(key=key)}",
        )

    # ---- Redis

    def redis(self) -> redis.Redis:
        """Return a client of the archiver's database."""
        return redis.Redis(host=LOOPBACK, port=self.rig.redis.port, db=self._database, decode_responses=True)

    def paired(self) -> str | None:
        """Return the hostname in the association key, which is what a Forwarder looks at."""
        with self.redis() as client:
            value = client.get(self.association_key)
        return None if value is None else str(value)


@asynccontextmanager
async def staged(
    folder: Path,
    settings: Mapping[str, object] = SHORT,
    *,
    redis_server: PrivateRedis,
    rabbit: PrivateRabbit,
    vhost: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    """Bring up an archiver with short times and without peers, on brokers that run."""
    rig = Rig(settings, redis=redis_server, rabbit=rabbit, vhost=vhost, parent=folder, environment=environment)
    try:
        async with rig:
            await rig.start_workers()
            with WireTap(rig.rabbit, rig.vhost) as tap:
                yield Stage(rig, tap)
    finally:
        await rig.close()


def queue_of(forwarder: str) -> str:
    """Return the name of the queue a Forwarder of this name takes its messages from."""
    return f"{forwarder}_consume"
