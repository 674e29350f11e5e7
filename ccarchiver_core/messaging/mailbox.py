"""A worker's mailbox: a Redis stream. Pending entries are read first, then new ones in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError
from redis.exceptions import ResponseError

from ccarchiver_core import keys
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.file_status import FileStatus
from ccarchiver_core.domain.worker_messages import WORKER_MESSAGE_ADAPTER, ExposureEventMessage
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.redis.replies import is_wrong_type, read_stream
from ccarchiver_core.redis.retry import backoff_or_raise, retry_until_available
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.set_aside import set_aside
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.worker_messages import WorkerMessage
    from ccarchiver_core.redis.replies import Entries
    from ccarchiver_core.store.transaction_pipeline import TransactionPipeline

_log = structlog.get_logger(__name__)

READ_COUNT = 100
"""Entries read at once: enough for a burst, and few enough that a worker can stop soon."""

MAX_ATTEMPTS = 3
"""Attempts to handle a message before it becomes a dead letter.

A temporary problem is over by the second one.
"""


@dataclass(frozen=True)
class Entry:
    """A message, and the id by which it is acked."""

    id: str
    message: WorkerMessage
    is_first_delivery: bool = False
    """Whether the message has not been delivered before."""


class Mailbox:
    """Reads the mailbox of one worker.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        A client for blocking reads that nothing else uses.
    worker : `Worker`
        The worker.
    transactions : `TransactionPipeline`
        The worker's transactions, for dead letters.
    settings : `Settings`
        Bounds of the dead letters.
    """

    def __init__(
        self,
        redis: Redis,
        worker: keys.Worker,
        transactions: TransactionPipeline,
        settings: Settings,
    ) -> None:
        self._redis = redis
        self._worker = worker
        self._transactions = transactions
        self._settings = settings
        self.progress = 0
        """Number of reads and of handled messages so far.

        It grows at least once in two seconds. Therefore the watchdog detects a reader that hangs,
        and does not mistake a busy worker on a slow disk for one.
        """
        self._position = "0"  # "0" reads pending entries, ">" new ones

    async def handle(self, entry: Entry, handler: Callable[[Entry], Awaitable[None]]) -> None:
        """Handle one message. If all `MAX_ATTEMPTS` fail, it becomes a dead letter.

        Thus it does not block the messages behind it.

        Parameters
        ----------
        entry : `Entry`
            The message.
        handler : callable
            Handles the message and acks it.

        Raises
        ------
        CcArchiverError
            An error of this project that the handler raises: the worker must stop.
        """
        message = entry.message
        keys_of_lines = (
            {"image": message.obsid}
            if isinstance(message, ExposureEventMessage | FileStatus)
            else {}
        )
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
            except Exception as error:  # noqa: BLE001  a defect must not block later messages
                reason = f"a defect of the archiver: {type(error).__name__}: {error}"
                _log.exception(
                    "message.handler_failed",
                    entry=entry.id,
                    kind=entry.message.kind,
                    attempt=attempt,
                    effect="a message is not applied yet; its image waits",
                )
                if attempt == MAX_ATTEMPTS:
                    await self._dead_letter(
                        entry.id, reason, entry.message.model_dump_json().encode()
                    )
                    return
                await backoff.wait(_log, "message.retried", entry=entry.id)
            else:
                return

    async def _dead_letter(self, entry_id: str, reason: str, raw: bytes) -> None:
        transaction = Transaction().ack(self._worker, entry_id)
        dead_letters.add(
            transaction, self._settings, origin=self._worker.mailbox, reason=reason, raw=raw
        )
        await self._transactions.apply(transaction)
        _log.error(
            "message.dead_lettered",
            entry=entry_id,
            reason=reason,
            effect="a message is not applied; its image may stay unfinished",
        )

    def restart_from_pending(self) -> None:
        """Make the next `read` return pending entries, those that were read but not acked."""
        self._position = "0"

    async def read(self) -> list[Entry]:
        """Return the next messages; wait a short time for them, then return an empty list.

        While Redis is unavailable, wait. Afterwards the pending entries are returned again, because
        a reply may have been lost. Therefore call this only when all messages that it returned
        before are acked.
        """
        backoff = Backoff()
        while True:
            is_first_delivery = self._position == ">"
            try:
                raw = await self._read_raw()
            except UNAVAILABLE_ERRORS as error:
                self.restart_from_pending()
                await backoff_or_raise(error, backoff)
                continue
            except ResponseError as error:
                if str(error).startswith(("NOGROUP", "UNBLOCKED")):  # the mailbox does not exist
                    await retry_until_available(self._create_group)
                elif is_wrong_type(error):  # a person has replaced it
                    await set_aside(self._redis, self._worker.mailbox)
                else:
                    await backoff_or_raise(error, backoff)
                continue
            return await self._parse(raw, is_first_delivery=is_first_delivery)

    async def _read_raw(self) -> Entries:
        entries = await read_stream(
            self._redis,
            self._worker.mailbox,
            keys.MAILBOX_GROUP,
            keys.MAILBOX_CONSUMER,
            self._position,
            READ_COUNT,
        )
        self.progress += 1
        if not entries:
            self._position = ">"
        return entries

    async def _create_group(self) -> None:
        try:
            await self._redis.xgroup_create(
                self._worker.mailbox, keys.MAILBOX_GROUP, id="0", mkstream=True
            )
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _parse(self, raw: Entries, *, is_first_delivery: bool) -> list[Entry]:
        entries = []
        for entry_id, fields in raw:
            text = (fields or {}).get(b"message", b"")
            try:
                entries.append(
                    Entry(
                        entry_id.decode(),
                        WORKER_MESSAGE_ADAPTER.validate_json(text),
                        is_first_delivery,
                    )
                )
            except ValidationError as error:
                if fields:
                    reason = f"not a message of this version: {error.error_count()} problems"
                    await self._dead_letter(entry_id.decode(), reason, text)
                else:  # a person has deleted the entry
                    await self._transactions.apply(
                        Transaction().ack(self._worker, entry_id.decode())
                    )
        return entries
