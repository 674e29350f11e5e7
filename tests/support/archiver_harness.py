"""The rig for integration tests: one archiver, and new peers for each test."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import redis
from lsst.ts import salobj

from ccarchiver_core.config.settings import load_settings
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.delivery_check import check_delivery
from ccarchiver_sim.testbed.rig import CAMERA, CONTROLLER, HEADER_SERVICE, OODS, Rig
from ccarchiver_sim.testbed.wiretap import WireTap
from tests.support.forked import ForkedPeer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from ccarchiver_sim.testbed.peer_process import Peer

SHORT_S: Mapping[str, float] = {
    "ACK_TIMEOUT": 1,
    "SCAN_TIMEOUT": 2,
    "PAIR_TIMEOUT": 4,
    "REASSIGN_GRACE": 4,
    "CONNECT_TIMEOUT": 2,
    # The successor of a killed worker waits until the lease expires.
    "LEASE_TTL": 3,
    "RESUME_WINDOW": 60,
    "WORKER_OUTAGE_LIMIT": 60,
    "BROKER_OUTAGE_LIMIT": 120,
    # As on a site, but scaled like the others, so that a busy machine does not exceed them.
    "START_TIMEOUT": 60,
    "WATCHDOG_TIMEOUT": 30,
    "PUBLISH_TIMEOUT": 5,
    "STALLED_AFTER": 300,
}
"""Short times: faults appear within seconds on an idle machine. Times that a slow machine could
exceed stay long."""
SHORT_COUNTS: Mapping[str, object] = {"CONTROLLER_MAX_MISSED_CHECKS": 2}

LIMIT_S = 60.0
"""Limit of every wait, on the clock of `ccarchiver_sim.pace`; no test waits for it to pass."""
LASTING = {CAMERA, HEADER_SERVICE, CONTROLLER, OODS}
"""Peers that tests share: each start costs a second of one core, and they have no state."""
FORWARDER_LIST = "forwarder_list"
PRESENCE_KEY = "f99_association"


def short(**changes: object) -> dict[str, object]:
    """Return the settings of a test: `SHORT_S` and changes, with times scaled to this machine."""
    settings = {**SHORT_S, **SHORT_COUNTS, **changes}
    return {
        key: scaled(value) if key in SHORT_S and isinstance(value, int | float) else value
        for key, value in settings.items()
    }


class ArchiverHarness:
    """One archiver that keeps running, its CSC, and peers that tests start."""

    def __init__(self, rig: Rig, tap: WireTap, *, are_peers_forked: bool = True) -> None:
        self.rig = rig
        if are_peers_forked:
            rig.peer_kind = ForkedPeer
        self.tap = tap
        self.sal = rig.observer
        settings = load_settings(rig.folder.site_file)
        self.association_key = settings.association_key
        self.expected = settings.files_per_image
        self._forwarder_numbers = itertools.count(1)
        self._database = settings.archiver_redis_db

        self._listen()

    def reconnect_tap(self) -> None:
        """Connect again after RabbitMQ was down; earlier messages are dropped."""
        self.tap.close()
        self.tap = WireTap(self.rig.rabbit, self.rig.vhost)
        self._listen()

    def _listen(self) -> None:
        self.tap.listen_to(load_settings(self.rig.folder.site_file).archive_ctrl_consume_queue)

    # ---- the peers

    async def set(
        self, *forwarders: tuple[str, ...], controller: tuple[str, ...] = ()
    ) -> list[Peer]:
        """Bring the CSC to STANDBY and start new peers; a tuple has one Forwarder's options.

        Returns
        -------
        peers
            The Forwarders, in order; the first one is the first on the list.
        """
        await self.clear()
        starts: Mapping[str, tuple[Callable[..., Peer], tuple[str, ...]]] = {
            CONTROLLER: (self.rig.start_controller, controller),
            OODS: (self.rig.start_oods, ()),
            CAMERA: (self.rig.start_camera, ()),
            HEADER_SERVICE: (self.rig.start_header_service, ()),
        }
        missing = [name for name, (_, options) in starts.items() if not self._serves(name, options)]
        await self.rig.end_peers(name for name in missing if name in self.rig.peers)
        for name in missing:
            start, options = starts[name]
            start(*options)
        await asyncio.gather(*(self.rig.peers[name].wait_ready() for name in starts))
        return [await self.add_forwarder(*options) for options in forwarders]

    def _serves(self, name: str, options: tuple[str, ...]) -> bool:
        """Return whether a shared peer runs with these options."""
        peer = self.rig.peers.get(name)
        if peer is None or not peer.is_running:
            return False
        return (
            name in {CAMERA, HEADER_SERVICE} or peer.options == options
        )  # these two always have the same options

    async def add_forwarder(self, *options: str) -> Peer:
        """Start one more Forwarder and wait until it is registered and consumes its queue.

        The queue exists already, as in every night but a Forwarder's first.
        """
        name = self.next_name()
        self.tap.declare(queue_of(name))
        peer = self.start_forwarder(name, *options)
        await asyncio.gather(peer.wait_ready(), peer.wait_printed("serving"))
        return peer

    async def add_new_forwarder(self, *options: str) -> Peer:
        """Start a Forwarder whose queue does not exist, and wait until it is registered."""
        peer = self.start_forwarder(self.next_name(), *options)
        await peer.wait_ready()
        return peer

    def start_forwarder(self, name: str, *options: str) -> Peer:
        """Start a Forwarder without waiting, and record the messages that it is sent."""
        self.tap.listen_to(queue_of(name))
        return self.rig.start_forwarder(name, *options)

    def next_name(self) -> str:
        """Return an unused Forwarder name, so that no old message in a queue can reach it."""
        return f"fwd{next(self._forwarder_numbers)}"

    async def clear(self) -> None:
        """Bring the CSC to STANDBY and stop the Forwarders. The other peers stay."""
        await self.sal.go_to(salobj.State.STANDBY)
        await self.rig.end_peers(name for name in self.rig.peers if name not in LASTING)
        with self.redis() as client:
            client.delete(FORWARDER_LIST, PRESENCE_KEY)

    # ---- the CSC

    async def enable(self) -> None:
        """Bring the CSC to ENABLED."""
        await self.sal.go_to(salobj.State.ENABLED)

    async def start_expecting_fault(self) -> int:
        """Send `start`, which must fail, and return the published error code."""
        position = self.sal.position
        # The CSC may reject the command or go to FAULT after it.
        with suppress(salobj.AckError):
            await self.sal.command("start")
        return await self.fault_after(position)

    async def fault_after(self, position: int) -> int:
        """Wait for FAULT and return the first error code published after a mark."""
        code = await self.sal.wait_error(since=position)
        await self.sal.wait_state(salobj.State.FAULT)
        return code

    # ---- images

    async def image(self) -> str:
        """Take an image, wait until it is complete, and return its name."""
        name = self.rig.take()
        await self.completed(name)
        return name

    async def completed(self, name: str, limit: float = LIMIT_S) -> None:
        """Wait until an image is complete, on disk and on SAL."""
        await polling.wait_for(
            lambda: check_delivery(self.sal, self.rig.folder, name).is_complete(self.expected),
            limit,
            lambda: (
                f"{name} complete; so far {check_delivery(self.sal, self.rig.folder, name)}; "
                f"state {self.sal.state}"
            ),
        )

    async def begun(self, forwarder: Peer) -> str:
        """Begin an exposure, wait until the Forwarder has the parameters, return the name."""
        name = self.rig.begin_exposure()
        await self.sent_to(forwarder, "CC_FWDR_XFER_PARAMS", name)
        return name

    async def sent_to(self, forwarder: Peer, message_type: str, image: str) -> None:
        """Wait until a message about an image has been published to a Forwarder's queue."""
        key = queue_of(forwarder.name)
        await polling.wait_for(
            lambda: bool(self.tap.published(message_type, key, IMAGE_ID=image)),
            LIMIT_S,
            lambda: (
                f"{message_type} of {image} to {key}; "
                f"that queue was sent {self.tap.published(key=key)}"
            ),
        )

    # ---- Redis

    def redis(self) -> redis.Redis:
        """Return a client of the archiver's database."""
        return redis.Redis(
            host=LOOPBACK, port=self.rig.redis.port, db=self._database, decode_responses=True
        )

    def paired(self) -> str | None:
        """Return the hostname in the association key, which Forwarders check."""
        with self.redis() as client:
            value = client.get(self.association_key)
        return None if value is None else str(value)


@asynccontextmanager
async def running_archiver(
    folder: Path,
    settings: Mapping[str, object] | None = None,
    *,
    redis_server: PrivateRedis,
    rabbit: PrivateRabbit,
    vhost: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[ArchiverHarness]:
    """Start an archiver with short times and without peers, on running brokers."""
    rig = Rig(
        settings or short(),
        redis=redis_server,
        rabbit=rabbit,
        vhost=vhost,
        parent=folder,
        environment=environment,
    )
    try:
        async with rig:
            await rig.start_workers()
            with WireTap(rig.rabbit, rig.vhost) as tap:
                # Variables may matter only at a program's start, which a forked peer does not have.
                harness = ArchiverHarness(rig, tap, are_peers_forked=environment is None)
                yield harness
                harness.tap.close()
    finally:
        await rig.close()


def queue_of(forwarder: str) -> str:
    """Return the name of the queue that a Forwarder consumes."""
    return f"{forwarder}_consume"
