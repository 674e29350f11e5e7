"""Audit: read the records in Redis, so that the readers report those that they cannot read.

Run it within `ccarchiver_core.store.unreadable.collecting`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from ccarchiver_core import keys
from ccarchiver_core.redis.replies import raise_other_errors, read_hash, read_string, text
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.runtime.lease import parse_holder, read_fencing_token, read_standby
from ccarchiver_core.store import (
    association_attempts,
    known_forwarders,
    pending_acks,
    stage_durations,
    unreadable,
)
from ccarchiver_core.store.counters import read_counters
from ccarchiver_core.store.csc_state import read_csc_state, read_watermarks
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import read_scan
from ccarchiver_core.store.session import read_session
from ccarchiver_core.store.supervised_processes import read_processes

if TYPE_CHECKING:
    from redis.asyncio import Redis

SCAN_COUNT = 1000
"""Keys that one SCAN command checks, few enough not to delay the workers."""

TYPES = {
    keys.FORWARDER_LIST: "list",
    keys.SESSION: "hash",
    keys.CSC: "hash",
    keys.STATE_HISTORY: "zset",
    keys.PAIRING_CANDIDATE: "list",
    keys.KNOWN_FORWARDERS: "hash",
    keys.ASSOCIATION_ATTEMPTS: "hash",
    keys.QUEUES_TO_PURGE: "set",
    keys.PENDING_ACKS: "hash",
    keys.IMAGES: "zset",
    keys.REFUSED_EXPOSURES: "zset",
    keys.UNFINISHED: "zset",
    keys.MISSED: "zset",
    keys.CATCH_UP_REQUESTS: "zset",
    keys.SCAN: "hash",
    keys.DEAD_LETTERS: "stream",
    keys.COUNTERS: "hash",
    keys.SUPERVISED_PROCESSES: "hash",
    keys.STAGE_DURATIONS: "hash",
    keys.UNREADABLE: "hash",
    **{worker.mailbox: "stream" for worker in keys.Worker},
    **{worker.lease: "string" for worker in keys.Worker},
    **{worker.standby: "string" for worker in keys.Worker},
    **{worker.fencing_token: "string" for worker in keys.Worker},
    **{worker.applied: "hash" for worker in keys.Worker},
    **{worker.alive: "string" for worker in keys.Worker},
}
"""Redis type of each key that exists once; an image record is a hash."""

ABSENT = "none"
"""What Redis calls the type of a key that does not exist."""


READ_HASHES = (
    keys.SESSION,
    keys.CSC,
    keys.KNOWN_FORWARDERS,
    keys.ASSOCIATION_ATTEMPTS,
    keys.PENDING_ACKS,
    keys.STAGE_DURATIONS,
    keys.SUPERVISED_PROCESSES,
    keys.COUNTERS,
    keys.SCAN,
    keys.UNREADABLE,
)
"""Hashes that `read_fixed` reads."""

READ_STRINGS = tuple(
    name
    for worker in keys.Worker
    for name in (worker.alive, worker.standby, worker.fencing_token, worker.lease)
)
"""Strings that `read_fixed` reads."""


class _Prefetched:
    """Replies to the reads of some keys, for readers that expect a client.

    Parameters
    ----------
    replies
        Reply or error for each key.
    """

    def __init__(self, replies: dict[str, Any]) -> None:
        self._replies = replies

    async def get(self, name: str) -> Any:  # noqa: ANN401  as the client
        """Return the reply, or raise the error, as the client does."""
        reply = self._replies[name]
        if isinstance(reply, Exception):
            raise reply
        return reply

    hgetall = get


async def read_fixed(redis: Redis) -> None:
    """Read all records but those of the images.

    They are read with one round trip: health does this all night.
    """
    await _read_prefetched(cast("Redis", await _prefetch(redis)))


async def _read_prefetched(redis: Redis) -> None:
    await read_session(redis)
    await read_csc_state(redis)
    read_watermarks(await read_hash(redis, keys.CSC))
    await known_forwarders.read(redis)
    await association_attempts.read(redis)
    await pending_acks.read(redis)
    await stage_durations.read(redis)
    await read_processes(redis)
    await read_counters(redis)
    await read_scan(redis)
    for worker in keys.Worker:
        await read_heartbeat(redis, worker)
        await read_standby(redis, worker)
        await read_fencing_token(redis, worker)
        held = await read_string(redis, worker.lease)
        if held:
            parse_holder(worker, held)
    for name, value in (await read_hash(redis, keys.UNREADABLE)).items():
        unreadable.report(name, "", f"set aside: {value}")


async def read_all(redis: Redis) -> int:
    """Read all records, and return the number of image records."""
    await read_fixed(redis)
    ledger, count = ImageLedger(redis), 0
    pattern = keys.image("*")
    async for name in redis.scan_iter(match=pattern, count=SCAN_COUNT):
        await ledger.read(text(name).removeprefix(keys.image("")))
        count += 1
    return count


async def _prefetch(redis: Redis) -> _Prefetched:
    """Read all keys, and report those of a wrong type."""
    # A pipeline has no time limit of its own, unlike a command.
    async with asyncio.timeout(COMMAND_TIMEOUT), redis.pipeline(transaction=False) as pipe:
        for name in TYPES:
            pipe.execute_command("TYPE", name)
        for name in READ_HASHES:
            pipe.execute_command("HGETALL", name)
        for name in READ_STRINGS:
            pipe.execute_command("GET", name)
        found = raise_other_errors(await pipe.execute(raise_on_error=False))
    for (name, expected), reply in zip(TYPES.items(), found, strict=False):
        kind = text(reply)
        if kind not in (expected, ABSENT):
            unreadable.report(name, "", f"is a {kind}, not a {expected}")
    names = (*READ_HASHES, *READ_STRINGS)
    return _Prefetched(dict(zip(names, found[len(TYPES) :], strict=True)))
