"""The Forwarders that registered and were tried: one hash, by queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store import unreadable
from ccarchiver_core.store.field_parser import FieldParser

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def read(redis: Redis) -> dict[str, ForwarderEntry]:
    """Return the known Forwarders by queue, without those that cannot be read."""
    fields = await read_hash(redis, keys.KNOWN_FORWARDERS)
    found = FieldParser(keys.KNOWN_FORWARDERS, fields).models(ForwarderEntry)
    for queue, entry in found.items():
        if entry.consume_queue != queue:
            reason = "consume_queue differs from the name of the field"
            unreadable.report(keys.KNOWN_FORWARDERS, queue, reason)
    return {queue: entry for queue, entry in found.items() if entry.consume_queue == queue}
