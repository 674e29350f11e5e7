"""Move an unreadable field of a hash to the dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.redis.replies import text, unless_wrong_type
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Outcome, Transaction

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.store.transaction_pipeline import TransactionPipeline
    from ccarchiver_core.store.unreadable import UnreadableRecord

_log = structlog.get_logger(__name__)


async def move_to_dead_letters(
    redis: Redis, transactions: TransactionPipeline, settings: Settings, record: UnreadableRecord
) -> None:
    """Move a field to the dead letters, unless it has changed meanwhile.

    Parameters
    ----------
    redis, transactions, settings
        The archiver's database, and the transactions and settings of the worker.
    record : `UnreadableRecord`
        The field, by its name as text.
    """
    reply = await retry_until_available(
        lambda: unless_wrong_type(redis.hgetall(record.key), dict[bytes, bytes]())
    )
    for name, raw in reply.items():
        if text(name) != record.field:
            continue
        transaction = Transaction()
        transaction.require(record.key, name, raw)
        transaction.command("HDEL", record.key, name)
        reason = f"{record.field}: this version cannot read it: {record.reason}"
        dead_letters.add(transaction, settings, origin=record.key, reason=reason, raw=raw)
        transaction.count("records_unreadable")
        if await transactions.apply(transaction) is Outcome.APPLIED:
            _log.warning(
                "record.dead_lettered", key=record.key, field=record.field, reason=record.reason
            )
