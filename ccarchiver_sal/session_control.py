"""Start and end of sessions.

The new state of the session is written to Redis, the other workers are notified, and their
confirmation is awaited.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.domain.session import new_session_id
from ccarchiver_core.domain.worker_messages import (
    SessionChanged,
    SessionFailed,
    SessionStarted,
    SessionStopped,
)
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import session
from ccarchiver_core.store.transaction import Outcome, Transaction

if TYPE_CHECKING:
    from ccarchiver_core.runtime.worker import WorkerContext

END_LIMIT = 15.0
"""Seconds to wait for the confirmation of the other workers that their part has ended.

It is longer than the limit of a connection attempt.
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StartFailure:
    """Reason why a session could not be started."""

    code: int
    report: str


class SessionControl:
    """Control of the session by the CSC.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self.id = ""
        """Id of the current session; empty if there is none."""
        self._start_result: asyncio.Future[StartFailure | None] | None = None
        self._ending = ""
        self._unconfirmed: set[keys.Worker] = set()
        self._ended = asyncio.Event()

    async def load(self) -> None:
        """Read the current session from Redis."""
        current = await retry_until_available(lambda: session.read_session(self._context.redis))
        self.id = current.id if current.is_active else ""

    async def begin(self) -> StartFailure | None:
        """Start a new session and wait until it is paired and connected.

        Returns None on success, otherwise the reason of the failure. If the caller is cancelled,
        the session remains; `end` ends it.
        """
        self.id = new_session_id()
        self._start_result = asyncio.get_running_loop().create_future()
        transaction = Transaction().count("sessions_begun")
        session.begin(transaction, self.id)
        self._notify(transaction, self.id)
        await self._context.transactions.apply(transaction)
        try:
            return await self._start_result
        finally:
            self._start_result = None

    async def end(self) -> None:
        """End the session and wait until the other workers confirm it, at most END_LIMIT.

        The association key is deleted at once. Safe to repeat, also without a session.
        """
        if not await self.request_stop(Transaction()):
            return
        try:
            async with asyncio.timeout(END_LIMIT):
                await self._ended.wait()
        except TimeoutError:
            _log.warning(
                "session.end_not_confirmed",
                session=self._ending,
                waiting_on=" ".join(sorted(self._unconfirmed)),
            )

    async def request_stop(self, transaction: Transaction) -> bool:
        """Apply a transaction that ends the session and may contain other writes.

        Returns False, and writes nothing, if there is no session or another one has replaced it.
        """
        if self._context.transactions.fencing_token is None:
            return False  # Redis was never available: this process has started no session
        ending = (
            self.id
            or (await retry_until_available(lambda: session.read_session(self._context.redis))).id
        )
        if not ending:
            return False
        self._ending, self._unconfirmed = ending, {keys.Worker.BRIDGE, keys.Worker.HEALTH}
        self._ended.clear()
        transaction.require(keys.SESSION, "id", ending)  # a late call must not end the next session
        session.end(transaction, self._context.settings.association_key)
        self._notify(transaction, ending)
        outcome = await self._context.transactions.apply(transaction)
        if self.id == ending:
            self.id = ""
        return outcome is Outcome.APPLIED

    def discard(self, transaction: Transaction) -> None:
        """End the session of an earlier process without waiting for the other workers."""
        session.end(transaction, self._context.settings.association_key)
        self._notify(transaction, self.id)
        self.id = ""

    def on_started(self, message: SessionStarted) -> None:
        """Complete `begin`: the session is paired and connected."""
        if (
            message.session_id == self.id
            and self._start_result is not None
            and not self._start_result.done()
        ):
            self._start_result.set_result(None)

    def on_stopped(self, message: SessionStopped) -> None:
        """Record that a worker has ended its part of the session."""
        if message.session_id == self._ending:
            self._unconfirmed.discard(message.worker)
            if not self._unconfirmed:
                self._ended.set()

    def on_failed(self, message: SessionFailed) -> bool:
        """Handle a session that cannot continue; return True if the CSC must go to FAULT now.

        During `begin` it returns False: the start command then fails with the reason.
        """
        if message.session_id != self.id:
            return False
        if self._start_result is not None:
            if not self._start_result.done():
                self._start_result.set_result(StartFailure(message.code, message.report))
            return False
        return True

    @staticmethod
    def _notify(transaction: Transaction, session_id: str) -> None:
        changed = SessionChanged(session_id=session_id)
        transaction.enqueue(keys.Worker.BRIDGE, changed).enqueue(keys.Worker.HEALTH, changed)
