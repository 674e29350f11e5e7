"""The queues the archiver consumes: each in its own order, a delivery acknowledged only when Redis has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ccarchiver_bridge.room import Room

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.link import Delivery, Link
    from ccarchiver_bridge.attention import Attention
    from ccarchiver_bridge.hub import Hub
    from ccarchiver_bridge.reception import Reception

BATCH = 50
"""Deliveries of one queue that share one step: a burst of 2,000 takes 40 fsyncs instead of 2,000."""


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
        self._room = Room(hub)

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
                await self._room.take(len(batch))
            await self._reception.take(batch, done=lambda delivery: self._link.ack(delivery.tag))
