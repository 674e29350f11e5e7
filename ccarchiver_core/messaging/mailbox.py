"""A worker's mailbox: a Redis stream, read in order, own pending entries first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError
from redis.exceptions import ResponseError

from ccarchiver_core import keys
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.worker_messages import WORKER_MESSAGE_ADAPTER, ExposureEventMessage, FileStatus
from ccarchiver_core.redis.client import UNAVAILABLE_ERRORS, backoff_or_raise, read_stream, retry_until_available
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.worker_messages import WorkerMessage
    from ccarchiver_core.redis.client import Entries
    from ccarchiver_core.store.transaction_pipeline import TransactionPipeline

_log = structlog.get_logger(__name__)

READ_COUNT = 100
"""Entries taken at once: enough to keep up with a burst, few enough to stop soon."""


MAX_ATTEMPTS = 3
"""Times a letter is tried before it counts as poison: a passing trouble is over by the second."""


@dataclass(frozen=True)
class Entry:
    """One letter and the id to settle it by."""

    id: str
    message: WorkerMessage
    is_first_delivery: bool = False
    """Whether nobody has been given it before."""


class Mailbox:
    """Reads one worker's mail.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        A client of its own for blocking reads.
    worker : `Worker`
        Whose mail.
    runner : `StepRunner`
        For dead letters.
    settings : `Settings`
        The bound of the dead letters.
    """

    def __init__(
        self, redis: Redis, worker: keys.Worker, transactions: TransactionPipeline, settings: Settings
    ) -> None:
        self._redis = redis
        self._worker = worker
        self._transactions = transactions
        self._settings = settings
        self.progress = 0
        """Reads so far and letters handled: one every two seconds at least, so a reader that is stuck shows, and one
        that has much to do on a slow disk does not look stuck."""
        self._position = "0"  # first what is pending from before; ">" is what is new

    async def handle(self, entry: Entry, handler: Callable[[Entry], Awaitable[None]]) -> None:
        """Handle one letter; one that keeps failing becomes a dead letter, so that it never blocks those behind it.

        Raises
        ------
        CcArchiverError
            What the handler raises on purpose: this worker must stop.
        """
        message = entry.message
        keys_of_lines = {"image": message.obsid} if isinstance(message, ExposureEventMessage | FileStatus) else {}
        with structlog.contextvars.bound_contextvars(**keys_of_lines):
            await self._try(entry, handler)
        self.progress += 1

    async def _try(self, entry: Entry, handler: Callable[[Entry], Awaitable[None]]) -> None:
        backoff = Backoff()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                await handler(entry)
            except CcArchiverError:
                raise
            except Exception as error:  # noqa: BLE001  a defect of ours must not stop the mail behind this one
                reason = f"a defect of the archiver: {type(error).__name__}: {error}"
                _log.exception("message.handler_failed", entry=entry.id, kind=entry.message.kind, attempt=attempt)
                if attempt == MAX_ATTEMPTS:
                    await self._dead_letter(entry.id, reason, entry.message.model_dump_json().encode())
                    return
                await backoff.wait(_log, "message.retried", entry=entry.id)
            else:
                return

    async def _dead_letter(self, entry_id: str, reason: str, raw: bytes) -> None:
        transaction = Transaction().ack(self._worker, entry_id)
        dead_letters.add(transaction, self._settings, origin=self._worker.mailbox, reason=reason, raw=raw)
        await self._transactions.apply(transaction)
        _log.error("message.dead_lettered", entry=entry_id, reason=reason)

    def restart_from_pending(self) -> None:
        """Hand out again what was read but not settled."""
        self._position = "0"

    async def read(self) -> list[Entry]:
        """Wait for mail for a short time; an empty list if none came.

        Waits as long as Redis is away; then everything not settled is handed out again, because a reply may
        have been lost on the way. So call this only when what it gave before is settled.
        """
        backoff = Backoff()
        while True:
            is_fresh = self._position == ">"
            try:
                raw = await self._read_raw()
            except UNAVAILABLE_ERRORS as error:
                self.restart_from_pending()
                await backoff_or_raise(error, backoff)
                continue
            except ResponseError as error:
                if str(error).startswith(("NOGROUP", "UNBLOCKED")):  # the mailbox is not there yet, or any more
                    await retry_until_available(self._create_group)
                else:
                    await backoff_or_raise(error, backoff)
                continue
            return await self._parse(raw, is_fresh=is_fresh)

    async def _read_raw(self) -> Entries:
        entries = await read_stream(
            self._redis, self._worker.mailbox, keys.MAILBOX_GROUP, keys.MAILBOX_CONSUMER, self._position, READ_COUNT
        )
        self.progress += 1
        if not entries:
            self._position = ">"
        return entries

    async def _create_group(self) -> None:
        try:
            await self._redis.xgroup_create(self._worker.mailbox, keys.MAILBOX_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _parse(self, raw: Entries, *, is_fresh: bool) -> list[Entry]:
        entries = []
        for entry_id, fields in raw:
            text = (fields or {}).get(b"message", b"")
            try:
                entries.append(Entry(entry_id.decode(), WORKER_MESSAGE_ADAPTER.validate_json(text), is_fresh))
            except ValidationError as error:
                if fields:
                    reason = f"not a letter this version knows: {error.error_count()} problems"
                    await self._dead_letter(entry_id.decode(), reason, text)
                else:  # it was deleted by hand
                    await self._transactions.apply(Transaction().ack(self._worker, entry_id.decode()))
        return entries
