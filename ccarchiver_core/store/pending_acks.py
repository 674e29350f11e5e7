"""The pending acks in Redis: one hash, by ACK_ID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.pending_ack import PendingAck
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store import unreadable
from ccarchiver_core.store.field_parser import MAX_SHOWN, FieldParser

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


async def read(redis: Redis) -> dict[str, PendingAck]:
    """Return the pending acks by ACK_ID, without those that cannot be read."""
    fields = await read_hash(redis, keys.PENDING_ACKS)
    found = FieldParser(keys.PENDING_ACKS, fields).models(PendingAck)
    for ack_id, pending in found.items():
        if pending.ack_id != ack_id:
            reason = f"ack_id: {pending.ack_id[:MAX_SHOWN]!r} differs from the name of the field"
            unreadable.report(keys.PENDING_ACKS, ack_id, reason)
    return {ack_id: pending for ack_id, pending in found.items() if pending.ack_id == ack_id}


def record(transaction: Transaction, pending: PendingAck) -> None:
    """Add a pending ack to the transaction that records its message."""
    transaction.command("HSET", keys.PENDING_ACKS, pending.ack_id, pending.model_dump_json())


def remove(transaction: Transaction, ack_id: str) -> None:
    """Add the removal of a pending ack to a transaction."""
    transaction.command("HDEL", keys.PENDING_ACKS, ack_id)
