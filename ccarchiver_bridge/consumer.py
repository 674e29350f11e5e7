"""The queues the archiver consumes: each in its own order, a delivery acknowledged only when Redis has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ccarchiver_bridge.backpressure import Backpressure

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
    from ccarchiver_bridge.consumer_lag import ConsumerLag
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.message_router import MessageRouter

BATCH = 50
"""Deliveries of one queue that share one step: a burst of 2,000 takes 40 fsyncs instead of 2,000."""


class Consumer:
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

    def __init__(self, bridge: BridgeContext, router: MessageRouter, link: AmqpConnection) -> None:
        self._bridge = bridge
        self._router = router
        self._link = link
        self._room = Backpressure(bridge)

    @staticmethod
    def queue_names(bridge: BridgeContext) -> list[str]:
        """Names of the queues the archiver consumes."""
        settings = bridge.settings
        return [
            settings.forwarder_publish_queue,
            settings.telemetry_queue,
            settings.queue_from_oods,
            settings.archive_ctrl_publish_queue,
        ]

    async def run(self) -> None:
        """Consume until cancelled; each queue in its own order."""
        async with asyncio.TaskGroup() as group:
            for name in dict.fromkeys(self.queue_names(self._bridge)):
                arrived: asyncio.Queue[Delivery] = asyncio.Queue()  # bounded by the prefetch
                self._link.consume(name, arrived.put_nowait)
                answers_come_here = name == self._bridge.settings.forwarder_publish_queue
                group.create_task(self._serve(arrived, self._bridge.attention if answers_come_here else None))

    async def _serve(self, arrived: asyncio.Queue[Delivery], attention: ConsumerLag | None) -> None:
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
            await self._router.handle_batch(batch, done=lambda delivery: self._link.ack(delivery.tag))
