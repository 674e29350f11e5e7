"""The counters in Redis, for operators and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store.field_parser import FieldParser, parse_count

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def read_counters(redis: Redis) -> dict[str, int]:
    """Return all counters, without those that cannot be read."""
    fields = await read_hash(redis, keys.COUNTERS)
    parser = FieldParser(keys.COUNTERS, fields)
    found = {name: parser.read(name, parse_count) for name in fields}
    return {name: count for name, count in found.items() if count is not None}
