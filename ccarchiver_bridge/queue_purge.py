"""Purge of the queues of lost Forwarders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core import keys
from ccarchiver_core.redis.replies import read_set
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.connection import AmqpConnection
    from ccarchiver_bridge.context import BridgeContext

_log = structlog.get_logger(__name__)


async def purge_lost_queues(bridge: BridgeContext) -> None:
    """Purge the queues of lost Forwarders, so that no other consumer gets old instructions.

    Safe to repeat. Without a connection, the queues are purged when the next one opens.
    """
    connection, forwarder = bridge.connection, bridge.session.forwarder
    names = await retry_until_available(lambda: read_set(bridge.redis, keys.QUEUES_TO_PURGE))
    for queue in names:
        if connection is None:
            return
        if forwarder is None or forwarder.consume_queue != queue:
            try:
                await purge(connection, queue)
            except AmqpError as error:
                _log.warning("queue.not_purged", queue=queue, error=str(error))
                return
        await bridge.transactions.apply(Transaction().command("SREM", keys.QUEUES_TO_PURGE, queue))


async def purge(connection: AmqpConnection, queue: str) -> None:
    """Delete all messages of a queue; nothing if it does not exist.

    Raises
    ------
    AmqpError
        If RabbitMQ does not allow it.
    """
    if await connection.inspect(queue) is None:
        return
    count = await connection.purge(queue)
    if count:
        _log.info("queue.purged", queue=queue, messages=count)
