"""A worker's mailbox: a Redis stream, read in order, own pending entries first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError
from redis.exceptions import ResponseError

from ccarchiver_core import deadletter, keys
from ccarchiver_core.backoff import Backoff
from ccarchiver_core.errors import CcArchiverError
from ccarchiver_core.mail import MAIL, ExposureMail, FileStatus
from ccarchiver_core.redis_client import AWAY_ERRORS, patiently, read_stream, wait_or_raise
from ccarchiver_core.step import Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.mail import Mail
    from ccarchiver_core.redis_client import Entries
    from ccarchiver_core.settings import Settings
    from ccarchiver_core.step_runner import StepRunner

_log = structlog.get_logger(__name__)

READ_COUNT = 100
"""Entries taken at once: enough to keep up with a burst, few enough to stop soon."""


MAX_ATTEMPTS = 3
"""Times a letter is tried before it counts as poison: a passing trouble is over by the second."""


@dataclass(frozen=True)
class Entry:
    """One letter and the id to settle it by."""

    id: str
    mail: Mail
    is_fresh: bool = False
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

    def __init__(self, redis: Redis, worker: keys.Worker, runner: StepRunner, settings: Settings) -> None:
        self._redis = redis
        self._worker = worker
        self._runner = runner
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
        mail = entry.mail
        keys_of_lines = {"image": mail.obsid} if isinstance(mail, ExposureMail | FileStatus) else {}
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
                _log.exception("mail.defect", entry=entry.id, kind=entry.mail.kind, attempt=attempt)
                if attempt == MAX_ATTEMPTS:
                    await self._bury(entry.id, reason, entry.mail.model_dump_json().encode())
                    return
                await backoff.wait(_log, "mail.tried_again", entry=entry.id)
            else:
                return

    async def _bury(self, entry_id: str, reason: str, raw: bytes) -> None:
        step = Step().settle(self._worker, entry_id)
        deadletter.add(step, self._settings, origin=self._worker.mailbox, reason=reason, raw=raw)
        await self._runner.apply(step)
        _log.error("mail.dead_lettered", entry=entry_id, reason=reason)

    def reread(self) -> None:
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
            except AWAY_ERRORS as error:
                self.reread()
                await wait_or_raise(error, backoff)
                continue
            except ResponseError as error:
                if str(error).startswith(("NOGROUP", "UNBLOCKED")):  # the mailbox is not there yet, or any more
                    await patiently(self._make_group)
                else:
                    await wait_or_raise(error, backoff)
                continue
            return await self._parse(raw, is_fresh=is_fresh)

    async def _read_raw(self) -> Entries:
        entries = await read_stream(
            self._redis, self._worker.mailbox, keys.MAIL_GROUP, keys.MAIL_CONSUMER, self._position, READ_COUNT
        )
        self.progress += 1
        if not entries:
            self._position = ">"
        return entries

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(self._worker.mailbox, keys.MAIL_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _parse(self, raw: Entries, *, is_fresh: bool) -> list[Entry]:
        entries = []
        for entry_id, fields in raw:
            text = (fields or {}).get(b"mail", b"")
            try:
                entries.append(Entry(entry_id.decode(), MAIL.validate_json(text), is_fresh))
            except ValidationError as error:
                if fields:
                    reason = f"not a letter this version knows: {error.error_count()} problems"
                    await self._bury(entry_id.decode(), reason, text)
                else:  # it was deleted by hand
                    await self._runner.apply(Step().settle(self._worker, entry_id.decode()))
        return entries
