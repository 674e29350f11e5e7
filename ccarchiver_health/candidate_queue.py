"""Selection of the next candidate: registered Forwarders first, then the known ones.

The list in which Forwarders register is unreliable. Entries of dead Forwarders stay in it, a
Forwarder can be in it twice, and an entry can be malformed.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.redis.replies import read_list, unless_wrong_type
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import association_attempts, dead_letters, known_forwarders
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_core.domain.forwarder import ForwarderEntry
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.association_attempts import AssociationAttempt
    from ccarchiver_health.forwarder_list import ForwarderList

KNOWN_RETRY_INTERVAL = 1.0
"""Seconds between two attempts with a known Forwarder that is not registered; it may start."""

MAX_KNOWN = 64
"""Maximum number of known Forwarders; an observatory has a few."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A Forwarder to attempt an association with, and whether it is from the list."""

    entry: ForwarderEntry
    listed: bool


class CandidateQueue:
    """Queue of the candidates for an association.

    Parameters
    ----------
    context : `WorkerContext`
        Redis client and settings.
    forwarder_list : `ForwarderList`
        The list from which registered Forwarders are taken.
    """

    def __init__(self, context: WorkerContext, forwarder_list: ForwarderList) -> None:
        self._context = context
        self._list = forwarder_list
        self._attempted_at: dict[str, float] = {}

    async def next(self, excluded: set[str]) -> Candidate | None:
        """Return the next candidate, None if there is none now.

        Parameters
        ----------
        excluded : `set`
            Queues of Forwarders to skip: they did not answer, or were released.

        Notes
        -----
        An entry moves from the list to the key `keys.PAIRING_CANDIDATE` in one command and stays
        there until `complete`, so a crash between them does not lose a Forwarder.
        """
        while True:
            raw = await retry_until_available(self._next_raw)
            if raw is None:
                break
            try:
                entry = self._list.parse(raw)
            except RejectedError as error:
                reason = str(error)
                transaction = Transaction().command("DEL", keys.PAIRING_CANDIDATE)
                dead_letters.add(
                    transaction,
                    self._context.settings,
                    origin=keys.FORWARDER_LIST,
                    reason=reason,
                    raw=raw,
                )
                await self._context.transactions.apply(transaction)
                self._list.record_malformed(1, raw, reason)
                await retry_until_available(self._list.refresh)  # there may be many more
                continue
            if entry.consume_queue in excluded:
                await self._context.transactions.apply(
                    Transaction().command("DEL", keys.PAIRING_CANDIDATE)
                )
                continue
            return Candidate(entry, listed=True)
        return await self._known(excluded)

    async def _next_raw(self) -> bytes | None:
        redis = self._context.redis
        waiting = await read_list(redis, keys.PAIRING_CANDIDATE)
        if waiting:
            return waiting[0]
        move = redis.lmove(keys.FORWARDER_LIST, keys.PAIRING_CANDIDATE, "RIGHT", "LEFT")
        return await unless_wrong_type(move, cast("bytes | None", None))

    async def _known(self, excluded: set[str]) -> Candidate | None:
        """Return the known Forwarder whose last attempt is the longest ago, None if none is due.

        Attempts with dead ones may take longer than the interval, so a fixed order would never
        reach those behind them.
        """
        known = await retry_until_available(lambda: known_forwarders.read(self._context.redis))
        now = time.monotonic()
        due = [
            queue
            for queue in known
            if queue not in excluded
            and now - self._attempted_at.get(queue, -math.inf) >= KNOWN_RETRY_INTERVAL
        ]
        if not due:
            return None
        queue = min(due, key=lambda queue: self._attempted_at.get(queue, -math.inf))
        self._attempted_at[queue] = now
        return Candidate(known[queue], listed=False)

    async def complete(
        self, transaction: Transaction, candidate: Candidate, attempt: AssociationAttempt
    ) -> None:
        """Remove a candidate from its key, and record the Forwarder and the result of the attempt.

        A Forwarder registers only once, and a new one cannot consume before its queue has been
        declared. So a Forwarder with a failed attempt stays known and is attempted again.
        """
        queue = candidate.entry.consume_queue
        self._attempted_at[queue] = time.monotonic()
        transaction.command("DEL", keys.PAIRING_CANDIDATE)
        if not candidate.listed:
            association_attempts.record(transaction, queue, attempt)
            return
        if (
            len(await retry_until_available(lambda: known_forwarders.read(self._context.redis)))
            >= MAX_KNOWN
        ):
            _log.warning(
                "known_forwarders.full",
                limit=MAX_KNOWN,
                remedy=f"redis-cli hdel {keys.KNOWN_FORWARDERS} <queue>",
            )
            return
        transaction.command("HSET", keys.KNOWN_FORWARDERS, queue, candidate.entry.model_dump_json())
        association_attempts.record(transaction, queue, attempt)
