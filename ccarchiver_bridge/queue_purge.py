"""Purge of the queues of lost Forwarders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core import keys
from ccarchiver_core.config.value_types import MAX_QUEUE_BYTES
from ccarchiver_core.redis.replies import unless_wrong_type
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_bridge.amqp.connection import AmqpConnection
    from ccarchiver_bridge.context import BridgeContext

QUEUE_NAME = re.compile(rb"[!-~]{1,%d}" % MAX_QUEUE_BYTES)
"""Form of the names of the Forwarders' queues, as in their entries."""

_log = structlog.get_logger(__name__)


async def purge_lost_queues(bridge: BridgeContext) -> None:
    """Purge the queues of lost Forwarders, so that no other consumer gets old instructions.

    Safe to repeat. Without a connection, the queues are purged when the next one opens.
    """
    connection, forwarder = bridge.connection, bridge.session.forwarder
    names = await retry_until_available(lambda: _read_names(bridge.redis))
    for raw in names:
        queue = raw.decode("utf-8", "replace")
        if not QUEUE_NAME.fullmatch(raw):
            await _remove_invalid(bridge, raw)
            continue
        if connection is None:
            return
        if forwarder is None or forwarder.consume_queue != queue:
            try:
                await purge(connection, queue)
            except AmqpError as error:
                _log.warning("queue.not_purged", queue=queue, error=str(error))
                return
        await bridge.transactions.apply(Transaction().command("SREM", keys.QUEUES_TO_PURGE, queue))


async def _read_names(redis: Redis) -> list[bytes]:
    members = await unless_wrong_type(redis.smembers(keys.QUEUES_TO_PURGE), set[bytes]())
    return sorted(members)


async def _remove_invalid(bridge: BridgeContext, raw: bytes) -> None:
    """Move a member that is no name of a queue to the dead letters: a person has added it."""
    transaction = Transaction().command("SREM", keys.QUEUES_TO_PURGE, raw)
    reason = "not the name of a queue that can be purged"
    origin = keys.QUEUES_TO_PURGE
    dead_letters.add(transaction, bridge.settings, origin=origin, reason=reason, raw=raw)
    transaction.count("records_unreadable")
    await bridge.transactions.apply(transaction)


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
