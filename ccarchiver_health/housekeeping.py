"""Keeps the ledger in order: reports stalled images, lets old finished ones go, says when a bound is near."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, cast

import structlog
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.redis.client import text
from ccarchiver_core.store import dead_letters, ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_core.runtime.worker import WorkerContext

INTERVAL = 5.0
"""Seconds between two rounds: an image is reported as stalled soon enough for a person."""

BATCH = 200
"""Images looked at in one round: the work of a round stays below a tenth of a second."""

ROOM_LEFT = 0.9
"""Share of their bound that dead letters fill after the oldest went, so that the next one does not cost a round."""

HOUR = 3600.0
DAY = 24 * HOUR

_log = structlog.get_logger(__name__)


class Housekeeping:
    """Rounds over the ledger.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, steps, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    async def run(self) -> None:
        """Make rounds until cancelled; one that Redis does not allow is made later."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.report_stalled()
                await self.prune()
                await self.report_bounds()
            except (RedisError, OSError) as error:
                _log.warning("housekeeping.postponed", error=str(error))

    async def report_stalled(self) -> None:
        """Report unfinished images that wait too long; they go on when what they wait for comes, for a day."""
        redis, settings = self._context.redis, self._context.settings
        for obsid in (await ledger.unfinished(redis))[:BATCH]:
            record = await ledger.read_record(redis, obsid)
            if "state" not in record:
                await self._context.transactions.apply(
                    Transaction().command("ZREM", keys.UNFINISHED, obsid)
                )  # deleted by hand
                continue
            waited = ledger.age_s(record)
            if waited >= settings.abandoned_after:
                await self._abandon(obsid, record, waited)
            elif waited >= settings.stalled_after and record.get("state") == ImageState.ACCEPTED:
                await self._report(obsid, record, waited)

    async def _report(self, obsid: str, record: dict[str, str], waited: float) -> None:
        transaction = Transaction().require(keys.image(obsid), "state", ImageState.ACCEPTED)
        transaction.set_fields(keys.image(obsid), {"state": ImageState.STALLED}).count("images_stalled")
        await self._context.transactions.apply(transaction)
        waiting_on = ledger.waiting_on(record, self._context.settings.files_per_image)
        _log.error(
            "image.stalled", image=obsid, job=int(record.get("job", 0)), waited_s=round(waited), waiting_on=waiting_on
        )

    async def _abandon(self, obsid: str, record: dict[str, str], waited: float) -> None:
        """Give an image up: nobody will bring what it waits for; `ccarchiver image NAME --retry` revives it."""
        waiting_on = ledger.waiting_on(record, self._context.settings.files_per_image)
        reason = f"unfinished for {waited / HOUR:.1f} h (ABANDONED_AFTER), waits for {waiting_on}"
        transaction = Transaction().require(keys.image(obsid), "state", record["state"])
        ledger.fail(transaction, obsid, reason)
        raw = json.dumps(record).encode()
        dead_letters.add(
            transaction, self._context.settings, origin=keys.UNFINISHED, reason=reason, raw=raw, obsid=obsid
        )
        await self._context.transactions.apply(transaction)
        _log.error("image.abandoned", image=obsid, job=int(record.get("job", 0)), reason=reason)

    async def prune(self) -> None:
        """Remove finished images that are old, or the oldest finished ones beyond the ledger's bound."""
        redis, settings = self._context.redis, self._context.settings
        count = await redis.zcard(keys.IMAGES)
        excess = count - settings.max_ledger_images
        oldest = cast("list[tuple[bytes, float]]", await redis.zrange(keys.IMAGES, 0, BATCH - 1, withscores=True))
        removed = 0
        for name, at in oldest:
            obsid = text(name)
            if time.time() - float(at) < settings.ledger_retention_days * DAY and removed >= excess:
                break
            if await redis.zscore(keys.UNFINISHED, obsid) is not None:
                continue
            transaction = (
                Transaction()
                .command("DEL", keys.image(obsid))
                .command("ZREM", keys.IMAGES, obsid)
                .count("images_pruned")
            )
            await self._context.transactions.apply(transaction)
            removed += 1
        if excess > 0:
            _log.warning(
                "ledger.full",
                images=count,
                limit=settings.max_ledger_images,
                removed=removed,
                setting="MAX_LEDGER_IMAGES",
            )

    async def report_bounds(self) -> None:
        """Log every bound that has been reached."""
        redis, settings = self._context.redis, self._context.settings
        for worker in keys.Worker:
            depth = await redis.xlen(worker.mailbox)
            if depth >= settings.max_mailbox:
                _log.error("mailbox.full", mailbox=str(worker), depth=depth, setting="MAX_MAILBOX")
        letters = await redis.xlen(keys.DEAD_LETTERS)
        if letters >= settings.max_dead_letters:
            _log.error("dead_letters.full", count=letters, setting="MAX_DEAD_LETTERS", effect="the oldest are let go")
        await self._bound_letters(letters)

    async def _bound_letters(self, letters: int) -> None:
        """Let the oldest dead letters go when all together are too large: a mad peer must not fill Redis."""
        limit = self._context.settings.dead_letters_total_bytes
        taken = int(await self._context.redis.memory_usage(keys.DEAD_LETTERS, samples=0) or 0)
        if taken <= limit:
            return
        kept = int(letters * limit / taken * ROOM_LEFT)
        transaction = Transaction().command("XTRIM", keys.DEAD_LETTERS, "MAXLEN", kept)
        await self._context.transactions.apply(transaction.count("dead_letters_trimmed", letters - kept))
        _log.error(
            "dead_letters.large",
            bytes=taken,
            setting="DEAD_LETTERS_TOTAL_BYTES",
            effect=f"the oldest {letters - kept} go",
        )
