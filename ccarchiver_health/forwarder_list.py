"""The list in which Forwarders register, read again only after a change.

Peers write it, so it can hold any number of malformed entries. They are moved to the dead letters.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.forwarder import MAX_SHOWN, parse_list_entry
from ccarchiver_core.redis.replies import text, unless_wrong_type
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.periodic_log import PeriodicLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.domain.forwarder import ForwarderEntry
    from ccarchiver_core.runtime.worker import WorkerContext

INTERVAL = 5.0
"""Seconds between two checks of the list while no Forwarder is searched for or paired."""

PAGE = 200
"""Entries read at once, and most malformed ones that one transaction moves."""

_log = structlog.get_logger(__name__)

_Fingerprint = tuple[int, bytes | None, bytes | None]


class ForwarderList:
    """The list of free Forwarders.

    Parameters
    ----------
    context : `WorkerContext`
        Redis client, transactions and settings.

    Notes
    -----
    Forwarders push on the left, and health takes from the right. So a change shows in the length or
    in the entries at the two ends, which are read in constant time.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._lock = asyncio.Lock()
        self._read_as: _Fingerprint | None = None
        self._queues: frozenset[str] = frozenset()
        self._malformed = PeriodicLog(_log.warning, "forwarder_list.malformed", "moved")

    async def run(self) -> None:
        """Move malformed entries away until cancelled."""
        while True:
            try:
                await self.refresh()
            except (RedisError, OSError) as error:
                _log.debug("forwarder_list.not_read", error=str(error))
            self._malformed.flush()
            await next_beat(INTERVAL)

    def parse(self, raw: bytes) -> ForwarderEntry:
        """Return the Forwarder of an entry.

        Raises
        ------
        RejectedError
            If the entry is malformed.
        """
        return parse_list_entry(raw, self._context.settings.queues)

    async def contains(self, queue: str) -> bool:
        """Return whether the list has an entry of the Forwarder that consumes a queue."""
        await self.refresh()
        if queue not in self._queues:
            return False
        if await self.entries_of(queue):
            return True
        self._read_as = None  # it has changed in a way that length and ends do not show
        return False

    async def entries_of(self, queue: str) -> list[bytes]:
        """Return the raw entries of one Forwarder, without repetitions."""
        found: list[bytes] = []
        async for page in self._pages():
            found += [raw for raw in page if self._is_of(raw, queue) and raw not in found]
        return found

    async def refresh(self) -> None:
        """Read the list if it has changed, and move malformed entries to the dead letters."""
        async with self._lock:
            fingerprint = await self._fingerprint()
            if fingerprint == self._read_as:
                return
            queues, moved, reason, sample = set[str](), 0, "", b""
            async for page in self._pages():
                malformed: list[tuple[bytes, str]] = []
                for raw in page:
                    try:
                        queues.add(self.parse(raw).consume_queue)
                    except RejectedError as error:
                        malformed.append((raw, str(error)))
                if malformed:
                    sample, reason = malformed[0]
                    moved += len(malformed)
                    await self._move(malformed)
            self._queues = frozenset(queues)
            # After a move the list is shorter. The next call reads it once more.
            self._read_as = None if moved else fingerprint
        if moved:
            self.record_malformed(moved, sample, reason)

    def record_malformed(self, number: int, sample: bytes, reason: str) -> None:
        """Log malformed entries that were moved to the dead letters, with one of them."""
        self._malformed.add(
            number,
            sample=text(sample[:MAX_SHOWN]),
            reason=reason,
            remedy="ccarchiver deadletter list --origin forwarder_list; correct what writes them",
        )

    async def _move(self, malformed: list[tuple[bytes, str]]) -> None:
        transaction = Transaction()
        for raw, reason in malformed:
            # The entries are near the right end, where this search begins.
            transaction.command("LREM", keys.FORWARDER_LIST, -1, raw)
            dead_letters.add(
                transaction,
                self._context.settings,
                origin=keys.FORWARDER_LIST,
                reason=reason,
                raw=raw,
            )
        await self._context.transactions.apply(transaction)

    async def _fingerprint(self) -> _Fingerprint:
        redis = self._context.redis
        length = await self._length()
        if not length:
            return 0, None, None
        newest = cast("bytes | None", await redis.lindex(keys.FORWARDER_LIST, 0))
        oldest = cast("bytes | None", await redis.lindex(keys.FORWARDER_LIST, -1))
        return length, newest, oldest

    async def _pages(self) -> AsyncIterator[list[bytes]]:
        """Yield the entries from the right, the oldest page first.

        Entries that the caller removes from a page are not counted as read.
        """
        redis, remaining = self._context.redis, await self._length()
        kept = 0
        while remaining > 0:
            length = await redis.llen(keys.FORWARDER_LIST)
            page = cast(
                "list[bytes]", await redis.lrange(keys.FORWARDER_LIST, -kept - PAGE, -kept - 1)
            )
            if not page:
                return
            yield page[::-1]
            remaining -= len(page)
            removed = max(0, length - await redis.llen(keys.FORWARDER_LIST))
            kept += max(0, len(page) - removed)

    async def _length(self) -> int:
        """Return the number of entries; 0 if a person has made the key one of another type."""
        return await unless_wrong_type(self._context.redis.llen(keys.FORWARDER_LIST), 0)

    def _is_of(self, raw: bytes, queue: str) -> bool:
        try:
            return self.parse(raw).consume_queue == queue
        except RejectedError:
            return False
