"""Housekeeping of the ledger: mark stalled images, prune old ones, and log full limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.domain.image_record import ImageRecord, ImageState
from ccarchiver_core.redis.replies import read_hash, read_length, text, unless_wrong_type
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.field_parser import FieldParser
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.periodic_log import PeriodicLog
from ccarchiver_health.record_repair import RecordRepair

if TYPE_CHECKING:
    from ccarchiver_core.runtime.worker import WorkerContext

INTERVAL = 5.0
"""Seconds between two rounds. With `BATCH` open images, a stalled one shows after this delay."""

BATCH = 200
"""Images checked in one round: a round takes less than a tenth of a second."""

ROOM_LEFT = 0.9
"""Share of their limit that the dead letters fill after trimming.

The room that is left keeps each new dead letter from causing another trimming.
"""

HOUR = 3600.0
DAY = 24 * HOUR

_UNKNOWN = 0.0
"""Score of an image in an index that has a wrong type."""

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
        self._records = RecordRepair(context)
        self._mailboxes_full = {
            worker: PeriodicLog(_log.error, "mailbox.full", "rounds") for worker in keys.Worker
        }
        self._ledger_full = PeriodicLog(_log.warning, "ledger.full", "removed")
        self._dead_letters_full = PeriodicLog(_log.error, "dead_letters.full", "deleted")
        self._dead_letters_large = PeriodicLog(_log.error, "dead_letters.large", "deleted")
        self._dead_letters_written = -1
        self._are_dead_letters_full = False
        self._checked = 0
        """Number of open images, from the lowest job number on, that this pass has checked."""

    async def run(self) -> None:
        """Do the housekeeping every `INTERVAL` until cancelled.

        While Redis is unavailable it is postponed.
        """
        while True:
            await next_beat(INTERVAL)
            try:
                await self.round()
            except (RedisError, OSError) as error:
                _log.warning("housekeeping.postponed", error=str(error))

    async def round(self) -> None:
        """Do the housekeeping once."""
        await self._records.run_once()
        await self.report_stalled()
        await self.prune()
        await self.report_bounds()

    async def report_stalled(self) -> None:
        """Mark images without progress for STALLED_AFTER, and abandon those past ABANDONED_AFTER.

        A stalled image continues when what it waits for arrives. Each call checks the next `BATCH`
        open images; after the last one it begins again with the first.
        """
        settings = self._context.settings
        names = await self._ledger.open_images()
        batch = names[self._checked : self._checked + BATCH]
        self._checked = self._checked + BATCH if self._checked + BATCH < len(names) else 0
        for obsid in batch:
            record = await self._ledger.read(obsid)
            if record is None:  # deleted by hand
                transaction = Transaction()
                ImageLedger.close_missing(transaction, obsid)
                await self._context.transactions.apply(transaction)
            elif record.state is ImageState.UNREADABLE:
                await self._fail_unreadable(record)
            elif record.age_s >= settings.abandoned_after:
                await self._abandon(record)
            elif record.idle_s >= settings.stalled_after and record.state is ImageState.ACCEPTED:
                await self._mark_stalled(record)

    async def _fail_unreadable(self, record: ImageRecord) -> None:
        """Fail an image whose state cannot be read; ``ccarchiver image NAME --retry`` starts it."""
        reason = f"its record cannot be read: {', '.join(record.unreadable)}"
        fields = await self._ledger.read_raw(record.obsid)
        transaction = Transaction()
        ImageLedger.fail(transaction, record.obsid, reason)
        transaction.count("records_unreadable")
        dead_letters.add(
            transaction,
            self._context.settings,
            origin=keys.UNFINISHED,
            reason=reason,
            raw=repr(fields).encode(),
            obsid=record.obsid,
        )
        await self._context.transactions.apply(transaction)
        _log.error(
            "image.unreadable",
            effect="the image is not archived",
            image=record.obsid,
            reason=reason,
            remedy=f"ccarchiver image {record.obsid} --retry",
        )

    async def _mark_stalled(self, record: ImageRecord) -> None:
        transaction = Transaction()
        ImageLedger.mark_stalled(transaction, record.obsid)
        await self._context.transactions.apply(transaction)
        _log.error(
            "image.stalled",
            effect="the image is not complete",
            image=record.obsid,
            job=record.job,
            waited_s=round(record.idle_s),
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
        _log.error(
            "image.abandoned",
            effect="the image is not archived",
            image=record.obsid,
            job=record.job,
            reason=reason,
        )

    async def prune(self) -> None:
        """Delete old finished images, and the oldest finished ones above the ledger's limit."""
        redis, settings = self._context.redis, self._context.settings
        count = await unless_wrong_type(redis.zcard(keys.IMAGES), 0)
        excess = count - settings.max_ledger_images
        reply = redis.zrange(keys.IMAGES, 0, BATCH - 1, withscores=True)
        oldest = await unless_wrong_type(reply, list[tuple[bytes, float]]())
        removed = 0
        for name, first_seen_at in oldest:
            obsid = text(name)
            age_s = time.time() - float(first_seen_at)
            is_recent = age_s < settings.ledger_retention_days * DAY
            if is_recent and removed >= excess:
                break
            score = redis.zscore(keys.UNFINISHED, obsid)
            if await unless_wrong_type(score, _UNKNOWN) is not None:
                continue  # also if the index cannot be read
            transaction = Transaction().count("images_pruned")
            ImageLedger.delete(transaction, obsid)
            await self._context.transactions.apply(transaction)
            removed += 1
        if excess > 0:
            self._ledger_full.add(
                removed,
                images=count,
                limit=settings.max_ledger_images,
                setting="MAX_LEDGER_IMAGES",
            )

    async def report_bounds(self) -> None:
        """Log each limit that has been reached, and keep the dead letters within theirs."""
        redis, settings = self._context.redis, self._context.settings
        for worker in keys.Worker:
            depth = await read_length(redis, worker.mailbox)
            if depth >= settings.max_mailbox:
                self._mailboxes_full[worker].add(
                    1,
                    mailbox=str(worker),
                    depth=depth,
                    setting="MAX_MAILBOX",
                    effect="images are delayed",
                )
        await self._check_dead_letters()
        for log in (self._ledger_full, self._dead_letters_full, self._dead_letters_large):
            log.flush()

    async def _check_dead_letters(self) -> None:
        """Log deletions of dead letters, and delete the oldest ones if all are too large.

        This costs nothing while no new one is written, however many there are.
        """
        redis, settings = self._context.redis, self._context.settings
        # read before: a dead letter that is written meanwhile is handled in the next round
        counters = FieldParser(keys.COUNTERS, await read_hash(redis, keys.COUNTERS))
        written = counters.integer("dead_letters")
        if written == self._dead_letters_written:
            return
        count = await read_length(redis, keys.DEAD_LETTERS)
        is_full = count >= settings.max_dead_letters
        if is_full:
            # This is the first check that finds it full, or all new ones replaced older ones.
            deleted = written - self._dead_letters_written if self._are_dead_letters_full else 0
            self._dead_letters_full.add(
                max(deleted, 0),
                count=count,
                setting="MAX_DEAD_LETTERS",
                effect="the oldest dead letters are deleted",
            )
        await self._trim_dead_letters(count)
        self._are_dead_letters_full = is_full
        self._dead_letters_written = written

    async def _trim_dead_letters(self, count: int) -> None:
        """Delete the oldest dead letters if their total size is above the limit.

        Otherwise a faulty peer could fill Redis.
        """
        limit = self._context.settings.dead_letters_total_bytes
        size_bytes = int(await self._context.redis.memory_usage(keys.DEAD_LETTERS, samples=0) or 0)
        if size_bytes <= limit:
            return
        remaining = int(count * limit / size_bytes * ROOM_LEFT)
        transaction = Transaction().command("XTRIM", keys.DEAD_LETTERS, "MAXLEN", remaining)
        transaction.count("dead_letters_trimmed", count - remaining)
        await self._context.transactions.apply(transaction)
        self._dead_letters_large.add(
            count - remaining,
            bytes=size_bytes,
            setting="DEAD_LETTERS_TOTAL_BYTES",
            effect="the oldest dead letters are deleted",
        )
