"""Consumption of the archiver's queues, each in its own order.

A delivery is acknowledged to RabbitMQ only when Redis holds its result.

RabbitMQ can end a consumer while the connection stays open: a queue is deleted, or its node ends.
Usually it sends basic.cancel. A periodic check finds a queue without a consumer also if no
notification came. In both cases the queue is declared, bound and consumed again. The same check
reports a queue that another program also consumes.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_bridge.backpressure import Backpressure
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.beat import next_beat

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
    from ccarchiver_bridge.consumer_lag import ConsumerLag
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.message_router import MessageRouter

CHECK_INTERVAL_S = 5.0
"""Seconds between two checks that the archiver's queues have a consumer."""

CHECKS_WITHOUT_CONSUMER = 2
"""Consecutive checks without a consumer after which a queue is consumed again.

One check may precede the consumption that has just begun.
"""

CHECKS_WITH_OTHERS = 4
"""Consecutive checks with a second consumer after which it is reported.

RabbitMQ may need some seconds to detect that an earlier connection of the bridge is closed.
"""

BATCH = 50
"""Deliveries of one queue that share a transaction: a burst of 2,000 needs 40 fsyncs, not 2,000."""

_log = structlog.get_logger(__name__)


class Consumer:
    """Consumer of the archiver's queues over one connection.

    Parameters
    ----------
    bridge : `BridgeContext`
        Settings and Redis.
    router : `MessageRouter`
        Handles the messages.
    connection : `AmqpConnection`
        The connection; a new connection needs a new consumer.
    """

    def __init__(
        self, bridge: BridgeContext, router: MessageRouter, connection: AmqpConnection
    ) -> None:
        self._bridge = bridge
        self._router = router
        self._connection = connection
        self._backpressure = Backpressure(bridge)
        self._arrived: dict[str, asyncio.Queue[Delivery]] = {}  # bounded by the prefetch
        self._lost: asyncio.Queue[str] = asyncio.Queue()
        """Queues whose consumer RabbitMQ has ended."""
        self._restoring: set[str] = set()

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
                arrived = self._arrived[name] = asyncio.Queue()
                try:
                    self._consume(name)
                except AmqpError:
                    # After a closed connection, the bridge opens another one.
                    if not self._connection.closed.done():
                        self._on_lost(name)
                receives_acks = name == self._bridge.settings.forwarder_publish_queue
                group.create_task(
                    self._serve(arrived, self._bridge.consumer_lag if receives_acks else None)
                )
            group.create_task(self._check_periodically())
            while True:
                group.create_task(self._restore(await self._lost.get()))

    def _consume(self, name: str) -> None:
        self._connection.consume(
            name, self._arrived[name].put_nowait, on_cancelled=lambda: self._on_lost(name)
        )

    def _on_lost(self, name: str) -> None:
        if name not in self._restoring:
            self._restoring.add(name)
            self._lost.put_nowait(name)

    async def _check_periodically(self) -> None:
        missing = dict.fromkeys(self._arrived, 0)
        shared = dict.fromkeys(self._arrived, 0)
        while True:
            await next_beat(CHECK_INTERVAL_S)
            for name in self._arrived:
                try:
                    state = await self._connection.inspect(name)
                except AmqpError:
                    continue  # blocked, or closed and about to be replaced
                consumers = 0 if state is None else state.consumers
                is_consumed = consumers > 0 or name in self._restoring
                missing[name] = 0 if is_consumed else missing[name] + 1
                if missing[name] >= CHECKS_WITHOUT_CONSUMER:
                    missing[name] = 0
                    self._on_lost(name)
                shared[name] = shared[name] + 1 if consumers > 1 else 0
                self._report_others(name, consumers, shared[name])

    def _report_others(self, name: str, consumers: int, checks: int) -> None:
        """Report a queue that other programs consume too, or that it is consumed alone again."""
        subject = f"consumers of {name}"
        if checks == 0:
            self._bridge.problems.clear(subject)
        elif checks >= CHECKS_WITH_OTHERS:
            self._bridge.problems.set(
                subject,
                f"queue {name} has {consumers} consumers: another program receives a part of the "
                f"messages, and the archiver does not see them; rabbitmqctl list_consumers -p "
                f"{self._bridge.settings.vhost}, then stop the other program",
            )

    async def _restore(self, name: str) -> None:
        """Declare, bind and consume a queue again, however long that takes."""
        lost_at, backoff = time.monotonic(), Backoff()
        _log.error(
            "consumer.lost",
            queue=name,
            effect="messages that arrive meanwhile wait, or are lost with a deleted queue",
        )
        self._bridge.problems.set(
            name, f"queue {name} is not consumed: RabbitMQ ended the consumer"
        )
        while not self._connection.closed.done():
            try:
                await self._connection.declare(name)
                self._consume(name)
            except AmqpError as error:
                remedy = f"; {error.remedy}" if error.remedy else ""
                self._bridge.problems.set(name, f"queue {name} is not consumed: {error}{remedy}")
                await backoff.wait(_log, "consumer.not_restored", queue=name, error=str(error))
                continue
            self._restoring.discard(name)
            self._bridge.problems.clear(name)
            _log.info("consumer.restored", queue=name, lost_s=round(time.monotonic() - lost_at, 3))
            return

    async def _serve(self, arrived: asyncio.Queue[Delivery], lag: ConsumerLag | None) -> None:
        while True:
            if lag is not None and arrived.empty():
                lag.quiet()
            batch = [await arrived.get()]
            if lag is not None:
                lag.busy()
            while len(batch) < BATCH and not arrived.empty():
                batch.append(arrived.get_nowait())
            # Acknowledgements add nothing to the CSC's mailbox, and the image's next instruction
            # waits for them.
            if lag is None:
                await self._backpressure.reserve(len(batch))
            await self._router.handle_batch(
                batch, done=lambda delivery: self._connection.ack(delivery.tag)
            )
