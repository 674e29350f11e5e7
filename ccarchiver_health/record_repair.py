"""Repair of records in Redis that no version can use: changed by hand, or of another version.

What cannot be read is moved to the dead letters, so that nothing is lost without a trace. Records
that their worker writes again by itself, and those of finished images, are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from redis.exceptions import ResponseError

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.redis.replies import read_hash, text
from ccarchiver_core.status import record_audit
from ccarchiver_core.store import dead_letters, session, unreadable
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.set_aside import set_aside
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_core.store.unreadable_fields import move_to_dead_letters

if TYPE_CHECKING:
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.unreadable import UnreadableRecord

MOVED = frozenset(
    {
        keys.KNOWN_FORWARDERS,
        keys.ASSOCIATION_ATTEMPTS,
        keys.SUPERVISED_PROCESSES,
        keys.STAGE_DURATIONS,
        keys.COUNTERS,
        keys.SCAN,
    }
)
"""Hashes whose unreadable fields are moved to the dead letters: the archiver works without them.

The bridge moves pending acks when it starts, because their instructions must be sent again.
"""

INDEXES = frozenset(
    {keys.IMAGES, keys.UNFINISHED, keys.MISSED, keys.CATCH_UP_REQUESTS, keys.REFUSED_EXPOSURES}
)
"""Indexes of the ledger, which can be made again from the image records."""

JOB = "job"
"""The counter that only the CSC may write. It does so with each new image."""

_log = structlog.get_logger(__name__)


class RecordRepair:
    """Repair of all records but those of the images.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._ledger = ImageLedger(context.redis)

    async def run_once(self) -> None:
        """Repair what cannot be read now."""
        with unreadable.collecting() as found:
            await record_audit.read_fixed(self._context.redis)
        for record in found:
            if not record.field and record.key in record_audit.TYPES:
                await self._set_aside(record.key)
            elif record.field and record.key in MOVED and not _is_job(record):
                context = self._context
                await move_to_dead_letters(
                    context.redis, context.transactions, context.settings, record
                )
        await self._report_set_aside()
        await self._repair_session()

    async def _set_aside(self, key: str) -> None:
        """Rename a key if its type is wrong. The content of a string is its worker's matter."""
        redis = self._context.redis
        kind = text(await redis.type(key))
        if kind in (record_audit.TYPES[key], record_audit.ABSENT):
            return
        try:
            place = await set_aside(redis, key)
        except ResponseError as error:
            if "no such key" in str(error):
                return  # its worker has replaced it meanwhile
            raise
        _log.error(
            "record.set_aside",
            effect="what the key should hold is missing",
            key=key,
            kept_as=place,
            remedy=f"redis-cli type {place}; redis-cli del {place} when it is not needed",
        )

    async def _report_set_aside(self) -> None:
        """Move what was set aside to the dead letters, and make lost indexes again."""
        set_aside_now = await read_hash(self._context.redis, keys.UNREADABLE)
        if INDEXES & set_aside_now.keys():
            await self._ledger.rebuild_indexes(self._context.transactions)
        for name, value in set_aside_now.items():
            transaction = Transaction()
            transaction.require(keys.UNREADABLE, name, value)
            transaction.command("HDEL", keys.UNREADABLE, name)
            key, _, field = name.partition(" ")
            reason = f"{field}: it was no number, and begins again at 0"
            if not field:
                reason = f"the key had a wrong type, and was renamed to {value}"
            dead_letters.add(
                transaction,
                self._context.settings,
                origin=key,
                reason=reason,
                raw=value.encode(),
            )
            transaction.count("records_unreadable")
            await self._context.transactions.apply(transaction)

    async def _repair_session(self) -> None:
        """Write the pairing of a session again if it cannot be read: a new search begins."""
        redis = self._context.redis
        current = await session.read_session(redis)
        if not current.is_active or not current.unreadable:
            return
        epoch = current.epoch
        for obsid in await self._ledger.open_images():
            record = await self._ledger.read(obsid)
            if record is not None:
                epoch = max([epoch, *(sent.epoch for sent in record.instructions.values())])
        fields = await read_hash(redis, keys.SESSION)
        transaction = Transaction()
        session.repair(transaction, current, epoch + 1)
        for name in current.unreadable:
            value = fields.get(name, "")
            dead_letters.add(
                transaction,
                self._context.settings,
                origin=keys.SESSION,
                reason=f"{name}: this version cannot read it",
                raw=value.encode(),
            )
            transaction.count("records_unreadable")
        changed = SessionChanged(session_id=current.id)
        transaction.enqueue(keys.Worker.BRIDGE, changed).enqueue(keys.Worker.HEALTH, changed)
        if await self._context.transactions.apply(transaction) is Outcome.APPLIED:
            _log.error(
                "session.repaired",
                effect="a Forwarder may be paired again",
                session=current.id,
                epoch=epoch + 1,
                reason=f"unreadable: {', '.join(current.unreadable)}",
            )


def _is_job(record: UnreadableRecord) -> bool:
    return (record.key, record.field) == (keys.COUNTERS, JOB)
