"""The queues the archiver consumes: each in its own order, a delivery acknowledged only when Redis has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.backoff import Backoff
from ccarchiver_core.redis_client import patiently

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.link import Delivery, Link
    from ccarchiver_bridge.attention import Attention
    from ccarchiver_bridge.hub import Hub
    from ccarchiver_bridge.reception import Reception

BATCH = 50
"""Deliveries of one queue that share one step: a burst of 2,000 takes 40 fsyncs instead of 2,000."""

_log = structlog.get_logger(__name__)


class Inbox:
    """Consumes the archiver's queues over one link.

    Parameters
    ----------
    hub : `Hub`
        Settings and Redis.
    reception : `Reception`
        Where messages go.
    link : `Link`
        The connection; a new one needs a new inbox.
    """

    def __init__(self, hub: Hub, reception: Reception, link: Link) -> None:
        self._hub = hub
        self._reception = reception
        self._link = link
        self._queues: dict[str, asyncio.Queue[Delivery]] = {}

    @staticmethod
    def queue_names(hub: Hub) -> list[str]:
        """Names of the queues the archiver consumes."""
        settings = hub.settings
        return [
            settings.forwarder_publish_queue,
            settings.telemetry_queue,
            settings.queue_from_oods,
            settings.archive_ctrl_publish_queue,
        ]

    async def run(self) -> None:
        """Consume until cancelled; each queue in its own order."""
        async with asyncio.TaskGroup() as group:
            for name in dict.fromkeys(self.queue_names(self._hub)):
                arrived: asyncio.Queue[Delivery] = asyncio.Queue()  # bounded by the prefetch
                self._link.consume(name, arrived.put_nowait)
                answers_come_here = name == self._hub.settings.forwarder_publish_queue
                group.create_task(self._serve(arrived, self._hub.attention if answers_come_here else None))

    async def _serve(self, arrived: asyncio.Queue[Delivery], attention: Attention | None) -> None:
        while True:
            if attention is not None and arrived.empty():
                attention.quiet()
            batch = [await arrived.get()]
            if attention is not None:
                attention.busy()
            while len(batch) < BATCH and not arrived.empty():
                batch.append(arrived.get_nowait())
            if attention is None:  # answers fill nobody's mailbox, and an image's next order waits for them
                await self._wait_for_room()
            await self._reception.take(batch, done=lambda delivery: self._link.ack(delivery.tag))

    async def _wait_for_room(self) -> None:
        """Wait while SAL's mailbox is full: RabbitMQ keeps the rest meanwhile."""
        backoff = Backoff()
        limit = self._hub.settings.max_mailbox
        while (depth := await patiently(lambda: self._hub.redis.xlen(keys.Worker.SAL.mailbox))) >= limit:
            await backoff.wait(_log, "mailbox.full", mailbox="sal", depth=depth, mend="is ccarchiver:sal running?")
