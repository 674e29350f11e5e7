"""Consumption of the archiver's queues, each in its own order.

A delivery is acknowledged to RabbitMQ only when Redis holds its result.
"""

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
"""Deliveries of one queue that share a transaction: a burst of 2,000 needs 40 fsyncs, not 2,000."""


class Consumer:
    """Consumer of the archiver's queues over one connection.

    Parameters
    ----------
    bridge : `BridgeContext`
        Settings and Redis.
    router : `MessageRouter`
        Handles the messages.
    link : `AmqpConnection`
        The connection; a new connection needs a new consumer.
    """

    def __init__(self, bridge: BridgeContext, router: MessageRouter, link: AmqpConnection) -> None:
        self._bridge = bridge
        self._router = router
        self._link = link
        self._backpressure = Backpressure(bridge)

    @staticmethod
    def queue_names(bridge: BridgeContext) -> list[str]:
        """Return the names of the queues that the archiver consumes."""
        settings = bridge.settings
        return [
            settings.forwarder_publish_queue,
            settings.telemetry_queue,
            settings.queue_from_oods,
            settings.archive_ctrl_publish_queue,
        ]

    async def run(self) -> None:
        """Consume until cancelled, each queue in its own order."""
        async with asyncio.TaskGroup() as group:
            for name in dict.fromkeys(self.queue_names(self._bridge)):
                arrived: asyncio.Queue[Delivery] = asyncio.Queue()  # bounded by the prefetch
                self._link.consume(name, arrived.put_nowait)
                answers_come_here = name == self._bridge.settings.forwarder_publish_queue
                group.create_task(
                    self._serve(arrived, self._bridge.consumer_lag if answers_come_here else None)
                )

    async def _serve(self, arrived: asyncio.Queue[Delivery], attention: ConsumerLag | None) -> None:
        while True:
            if attention is not None and arrived.empty():
                attention.quiet()
            batch = [await arrived.get()]
            if attention is not None:
                attention.busy()
            while len(batch) < BATCH and not arrived.empty():
                batch.append(arrived.get_nowait())
            # Acknowledgements add nothing to the CSC's mailbox, and the image's next instruction
            # waits for them.
            if attention is None:
                await self._backpressure.take(len(batch))
            await self._router.handle_batch(
                batch, done=lambda delivery: self._link.ack(delivery.tag)
            )
