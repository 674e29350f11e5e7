"""Housekeeping of the ledger: mark stalled images, prune old ones, and log full limits."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

import structlog
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import ImageRecord, ImageState
from ccarchiver_core.redis.replies import text
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_core.runtime.worker import WorkerContext

INTERVAL = 5.0
"""Seconds between two rounds. An operator sees a stalled image after at most this delay."""

BATCH = 200
"""Images checked in one round: a round takes less than a tenth of a second."""

ROOM_LEFT = 0.9
"""Share of their limit that the dead letters fill after trimming.

The room that is left keeps each new dead letter from causing another trimming.
"""

HOUR = 3600.0
DAY = 24 * HOUR

_log = structlog.get_logger(__name__)


class Housekeeping:
    """Periodic housekeeping of the ledger and the dead letters.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._ledger = ImageLedger(context.redis)

    async def run(self) -> None:
        """Do the housekeeping every `INTERVAL` until cancelled.

        While Redis is unavailable it is postponed.
        """
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.report_stalled()
                await self.prune()
                await self.report_bounds()
            except (RedisError, OSError) as error:
                _log.warning("housekeeping.postponed", error=str(error))

    async def report_stalled(self) -> None:
        """Mark images that have waited too long as stalled, and abandon those past ABANDONED_AFTER.

        A stalled image continues when what it waits for arrives.
        """
        settings = self._context.settings
        for obsid in (await self._ledger.open_images())[:BATCH]:
            record = await self._ledger.read(obsid)
            if record is None:  # deleted by hand
                transaction = Transaction()
                ImageLedger.close_missing(transaction, obsid)
                await self._context.transactions.apply(transaction)
            elif record.age_s >= settings.abandoned_after:
                await self._abandon(record)
            elif record.age_s >= settings.stalled_after and record.state is ImageState.ACCEPTED:
                await self._mark_stalled(record)

    async def _mark_stalled(self, record: ImageRecord) -> None:
        transaction = Transaction()
        ImageLedger.mark_stalled(transaction, record.obsid)
        await self._context.transactions.apply(transaction)
        _log.error(
            "image.stalled",
            image=record.obsid,
            job=record.job,
            waited_s=round(record.age_s),
            waiting_on=record.waiting_on(self._context.settings.files_per_image),
        )

    async def _abandon(self, record: ImageRecord) -> None:
        """Abandon an image; ``ccarchiver image NAME --retry`` starts it again."""
        settings = self._context.settings
        waiting_on = record.waiting_on(settings.files_per_image)
        hours = f"{record.age_s / HOUR:.1f} h"
        reason = f"unfinished for {hours} (ABANDONED_AFTER), waits for {waiting_on}"
        transaction = Transaction()
        ImageLedger.require_state(transaction, record.obsid, record.state)
        ImageLedger.fail(transaction, record.obsid, reason)
        raw = TypeAdapter(ImageRecord).dump_json(record)
        dead_letters.add(
            transaction,
            settings,
            origin=keys.UNFINISHED,
            reason=reason,
            raw=raw,
            obsid=record.obsid,
        )
        await self._context.transactions.apply(transaction)
        _log.error("image.abandoned", image=record.obsid, job=record.job, reason=reason)

    async def prune(self) -> None:
        """Delete old finished images, and the oldest finished ones above the ledger's limit."""
        redis, settings = self._context.redis, self._context.settings
        count = await redis.zcard(keys.IMAGES)
        excess = count - settings.max_ledger_images
        oldest = await redis.zrange(keys.IMAGES, 0, BATCH - 1, withscores=True)
        removed = 0
        for name, first_seen_at in cast("list[tuple[bytes, float]]", oldest):
            obsid = text(name)
            age_s = time.time() - float(first_seen_at)
            is_recent = age_s < settings.ledger_retention_days * DAY
            if is_recent and removed >= excess:
                break
            if await redis.zscore(keys.UNFINISHED, obsid) is not None:
                continue
            transaction = Transaction().count("images_pruned")
            ImageLedger.delete(transaction, obsid)
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
        """Log each limit that has been reached."""
        redis, settings = self._context.redis, self._context.settings
        for worker in keys.Worker:
            depth = await redis.xlen(worker.mailbox)
            if depth >= settings.max_mailbox:
                _log.error("mailbox.full", mailbox=str(worker), depth=depth, setting="MAX_MAILBOX")
        count = await redis.xlen(keys.DEAD_LETTERS)
        if count >= settings.max_dead_letters:
            _log.error(
                "dead_letters.full",
                count=count,
                setting="MAX_DEAD_LETTERS",
                effect="the oldest are deleted",
            )
        await self._trim_dead_letters(count)

    async def _trim_dead_letters(self, count: int) -> None:
        """Delete the oldest dead letters if their total size is above the limit.

        Otherwise a faulty peer could fill Redis.
        """
        limit = self._context.settings.dead_letters_total_bytes
        taken = int(await self._context.redis.memory_usage(keys.DEAD_LETTERS, samples=0) or 0)
        if taken <= limit:
            return
        kept = int(count * limit / taken * ROOM_LEFT)
        transaction = Transaction().command("XTRIM", keys.DEAD_LETTERS, "MAXLEN", kept)
        transaction.count("dead_letters_trimmed", count - kept)
        await self._context.transactions.apply(transaction)
        _log.error(
            "dead_letters.large",
            bytes=taken,
            setting="DEAD_LETTERS_TOTAL_BYTES",
            effect=f"the oldest {count - kept} are deleted",
        )
