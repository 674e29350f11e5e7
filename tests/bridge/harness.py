"""A complete bridge with real Redis and RabbitMQ. The test acts as SAL, health and all peers."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
import yaml

from ccarchiver_bridge.bridge import Bridge
from ccarchiver_core import keys
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.config.credentials import CREDENTIAL_DIR_VARIABLE, CREDENTIAL_FILE
from ccarchiver_core.domain.exposure import EndReadout, HeaderReady, StartIntegration
from ccarchiver_core.domain.image_record import ImageState, ReceivedEvent
from ccarchiver_core.domain.session import PairedForwarder
from ccarchiver_core.domain.worker_messages import ExposureEventMessage, SessionChanged
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from tests.bridge.peer import CONTROLLER, FORWARDER, Peer, WireMessage, on_the_wire
from tests.core.redis_helpers import (
    end,
    enqueue,
    eventually,
    holding,
    looking_into,
    messages_in,
    read_fields,
    site,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import ExposureEvent
    from ccarchiver_core.domain.session import ForwarderLoss
    from ccarchiver_core.domain.worker_messages import WorkerMessage
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

SESSION = "2026-11-22_08:18:37.932650"
TARGET = "/data/staging/ccforwarder/2026-11-22/"
UNHURRIED: Mapping[str, object] = {"PUBLISH_TIMEOUT": 600, "CONNECT_TIMEOUT": 600}
"""Longer than any stall of a busy machine. If the bridge gave up a connection that works, it would
send instructions again that a test counts."""
M = TypeVar("M")


def forwarder(name: str = "f99") -> PairedForwarder:
    """Return a paired Forwarder with its queue and presence key."""
    return PairedForwarder(
        hostname=name,
        ip_address="127.0.0.1",
        consume_queue=f"{name}_consume",
        presence_key=f"{name}_association",
    )


def start_of(image: str) -> StartIntegration:
    """Return the camera's startIntegration."""
    return StartIntegration(
        image_name=image,
        image_index=0,
        images_in_sequence=1,
        image_date="20261122",
        exposure_time=1.0,
    )


def end_of(image: str) -> EndReadout:
    """Return the camera's endReadout."""
    return EndReadout(image_name=image, image_index=0, images_in_sequence=1)


def header_of(image: str) -> HeaderReady:
    """Return the header service's largeFileObjectAvailable."""
    return HeaderReady(url=f"http://127.0.0.1:8000/{image}.yaml")


class BridgeHarness:
    """A bridge and all its peers. Made with `bridge_at_work`."""

    def __init__(self, settings: Settings, redis: Redis, peer: Peer, sal: WorkerContext) -> None:
        self.settings = settings
        self.redis = redis
        self.peer = peer
        self.sal = sal
        self.context: WorkerContext | None = None
        """Context of the running bridge, None while it is stopped."""
        self.bridge: Bridge
        """The newest bridge. It does not exist before the first start."""
        self._running: contextlib.AsyncExitStack | None = None
        self._jobs: dict[str, int] = {}

    # ---- the bridge

    async def start(self) -> None:
        """Start the bridge as its program does."""
        self._running = contextlib.AsyncExitStack()
        context = await self._running.enter_async_context(holding(Worker.BRIDGE, self.settings))
        self.context = context
        self.bridge = Bridge(context)
        await self._running.enter_async_context(_task_of(self.bridge))

    async def stop(self) -> None:
        """Stop the bridge, whatever it is doing."""
        running, self._running, self.context = self._running, None, None
        if running is not None:
            await running.aclose()

    async def connected(self) -> None:
        """Wait until the bridge has an open connection to RabbitMQ."""

        async def is_connected() -> bool:
            context = self.context
            return context is not None and context.heartbeat.state.startswith("connected")

        await eventually(is_connected, "the connection to RabbitMQ")

    @property
    def missed_health_checks(self) -> int:
        """Number of consecutive health checks that the Controller has not answered."""
        return self.bridge._controller._missed_checks

    def cancel_consumers(self) -> None:
        """End the bridge's consumers in RabbitMQ without a notification to the bridge."""
        connection = self.bridge._bridge.connection
        assert connection is not None
        channel = connection._consuming
        assert channel is not None
        for tag in channel.consumer_tags:
            channel.basic_cancel(tag)

    # ---- health and SAL

    async def pair(
        self, paired: PairedForwarder | None = None, *, epoch: int = 1, session: str = SESSION
    ) -> None:
        """Write a paired session and notify the bridge."""
        paired = paired or forwarder()
        await self.redis.hset(
            keys.SESSION,
            mapping={
                "id": session,
                "is_active": "1",
                "epoch": epoch,
                "pairing": "paired",
                "forwarder": paired.model_dump_json(),
            },
        )
        await enqueue(self.redis, Worker.BRIDGE, SessionChanged(session_id=session))

    async def search(
        self, *, epoch: int = 1, session: str = SESSION, loss: ForwarderLoss | None = None
    ) -> None:
        """Write a session that searches for a Forwarder, and notify the bridge."""
        await self.redis.hdel(keys.SESSION, "forwarder", "loss")
        await self.redis.hset(
            keys.SESSION,
            mapping={"id": session, "is_active": "1", "epoch": epoch, "pairing": "searching"},
        )
        if loss is not None:
            await self.redis.hset(keys.SESSION, "loss", loss.model_dump_json())
        await enqueue(self.redis, Worker.BRIDGE, SessionChanged(session_id=session))

    async def end_session(self, session: str = SESSION) -> None:
        """Write that the session has ended, and notify the bridge."""
        await self.redis.hset(keys.SESSION, mapping={"is_active": "0", "pairing": "none"})
        await self.redis.hdel(keys.SESSION, "forwarder")
        await enqueue(self.redis, Worker.BRIDGE, SessionChanged(session_id=session))

    async def accept(self, image: str, *events: ExposureEvent, notify: bool = True) -> None:
        """Record events of an image as the CSC does."""
        for event in events:
            is_new = image not in self._jobs
            job = self._jobs.setdefault(image, len(self._jobs) + 1)
            transaction = Transaction()
            received = ReceivedEvent(image, job, SESSION, event, unix_time())
            ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=is_new)
            if notify:
                message = ExposureEventMessage(
                    obsid=image,
                    job=job,
                    event=event,
                    received_at=received.received_at,
                    is_new_image=is_new,
                )
                transaction.enqueue(Worker.BRIDGE, message)
            await self.sal.transactions.apply(transaction)

    async def messages_to(self, worker: Worker, kind: type[M]) -> list[M]:
        """Return the messages of one kind that the bridge has enqueued for a worker."""
        return [
            message
            for message in await messages_in(self.redis, worker)
            if isinstance(message, kind)
        ]

    async def all_messages_to(self, worker: Worker) -> list[WorkerMessage]:
        """Return all messages that the bridge has enqueued for a worker."""
        return await messages_in(self.redis, worker)

    async def record(self, image: str) -> dict[str, str]:
        """Read an image's ledger record."""
        return await read_fields(self.redis, image)

    async def recorded(self, image: str, field: str) -> None:
        """Wait until an image's ledger record has a field."""

        async def is_there() -> bool:
            return field in await self.record(image)

        await eventually(is_there, f"{field} in the record of {image}")

    # ---- the peers

    async def controller_answers(self, image: str, target: str = TARGET) -> WireMessage:
        """Wait for NEW_CC_ARCHIVE_ITEM and answer it, and each repetition of it."""
        message = await self.peer.receive("NEW_CC_ARCHIVE_ITEM", image)
        self.peer.acknowledge_each(
            message,
            TARGET_DIR=target,
            ACK_BOOL="TRUE",
            COMPONENT="ARCHIVE_CTRL",
            JOB_NUM=message.fields["JOB_NUM"],
            SESSION_ID=message.fields["SESSION_ID"],
        )
        return message

    def kinds(self, image: str) -> list[str]:
        """Return the kinds of the received messages about an image, in order."""
        return [
            message.kind
            for message in self.peer.received
            if message.fields.get("IMAGE_ID") == image
        ]


@asynccontextmanager
async def _task_of(bridge: Bridge) -> AsyncIterator[None]:
    task = asyncio.create_task(bridge.run())
    try:
        yield
    finally:
        await end(task)


@asynccontextmanager
async def bridge_at_work(
    redis: PrivateRedis,
    rabbit: PrivateRabbit,
    vhost: str,
    *,
    started: bool = True,
    **changes: object,
) -> AsyncIterator[BridgeHarness]:
    """Run a bridge for the duration of a block. Controller and one Forwarder consume."""
    address = {"BASE_BROKER_ADDR": rabbit.address_of(vhost)}
    settings = site(redis.port, **{**UNHURRIED, **address, **changes})
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(_credentials_in(Path(folder), rabbit))
        client = await stack.enter_async_context(looking_into(settings))
        sal = await stack.enter_async_context(holding(Worker.SAL, settings))
        peer = await stack.enter_async_context(on_the_wire(rabbit, vhost, CONTROLLER, FORWARDER))
        harness = BridgeHarness(settings, client, peer, sal)
        try:
            if started:
                await harness.start()
            yield harness
        finally:
            await harness.stop()


@contextlib.contextmanager
def _credentials_in(folder: Path, rabbit: PrivateRabbit) -> Iterator[None]:
    """Write a broker's credentials to the directory from which the bridge reads them."""
    folder.chmod(0o700)
    path = folder / CREDENTIAL_FILE
    path.touch(mode=0o600)
    users = {"rabbitmq_users": {"service_user": rabbit.user, "service_passwd": rabbit.password}}
    path.write_text(yaml.safe_dump(users), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CREDENTIAL_DIR_VARIABLE, str(folder))
        yield
