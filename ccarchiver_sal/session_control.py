"""Begins and ends sessions: writes what is wanted, tells the other workers, waits for their word."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.domain.session import new_session_id
from ccarchiver_core.domain.worker_messages import SessionChanged, SessionFailed, SessionStarted, SessionStopped
from ccarchiver_core.redis.client import retry_until_available
from ccarchiver_core.store import session
from ccarchiver_core.store.transaction import Outcome, Transaction

if TYPE_CHECKING:
    from ccarchiver_core.runtime.worker import WorkerContext

END_LIMIT = 15.0
"""Seconds to wait for the other workers' word that their part has ended: above a connection attempt's limit."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Refusal:
    """Why a session could not be begun."""

    code: int
    report: str


CLOSING = Refusal(0, "the CSC is closing")
"""No fault, but an end: whoever sent the command shall have an answer."""


class SessionControl:
    """The CSC's hand on the session.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, steps, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self.id = ""
        """The session in force; empty for none."""
        self._begun: asyncio.Future[Refusal | None] | None = None
        self._ending = ""
        self._still_up: set[keys.Worker] = set()
        self._ended = asyncio.Event()

    async def load(self) -> None:
        """Take up the session that Redis has."""
        current = await retry_until_available(lambda: session.read_session(self._context.redis))
        self.id = current.id if current.is_active else ""

    async def begin(self) -> Refusal | None:
        """Begin a new session and wait until it is paired and connected; the value is why it is not."""
        self.id = new_session_id()
        self._begun = asyncio.get_running_loop().create_future()
        transaction = Transaction().count("sessions_begun")
        session.begin(transaction, self.id)
        self._tell(transaction, self.id)
        await self._context.transactions.apply(transaction)
        try:
            return await self._begun
        finally:
            self._begun = None

    async def end(self) -> None:
        """End the session and wait for the others' word, but not for ever: the association key is gone at once.

        Safe to repeat, also when there is no session.
        """
        if not await self.request_stop(Transaction()):
            return
        try:
            async with asyncio.timeout(END_LIMIT):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("session.end_not_confirmed", session=self._ending, waiting_on=" ".join(sorted(self._still_up)))

    async def request_stop(self, transaction: Transaction) -> bool:
        """End the session within a step that may hold more; False if there is none, then nothing is written."""
        if self._context.transactions.epoch is None:
            return False  # Redis has been away since this process began: it has begun no session
        ending = self.id or (await retry_until_available(lambda: session.read_session(self._context.redis))).id
        if not ending:
            return False
        self._ending, self._still_up = ending, {keys.Worker.BRIDGE, keys.Worker.HEALTH}
        self._ended.clear()
        transaction.require(keys.SESSION, "id", ending)  # one that comes late must not end its successor
        session.end(transaction, self._context.settings.association_key)
        self._tell(transaction, ending)
        outcome = await self._context.transactions.apply(transaction)
        if self.id == ending:
            self.id = ""
        return outcome is Outcome.APPLIED

    def cancel(self) -> None:
        """Have a `begin` that is under way end now: the CSC closes."""
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(CLOSING)

    def discard(self, transaction: Transaction) -> None:
        """End a session an earlier process left, without waiting for anybody."""
        session.end(transaction, self._context.settings.association_key)
        self._tell(transaction, self.id)
        self.id = ""

    def on_started(self, message: SessionStarted) -> None:
        """Take in that the session is paired and connected."""
        if message.session_id == self.id and self._begun is not None and not self._begun.done():
            self._begun.set_result(None)

    def on_stopped(self, message: SessionStopped) -> None:
        """Take in that a worker has ended its part."""
        if message.session_id == self._ending:
            self._still_up.discard(message.worker)
            if not self._still_up:
                self._ended.set()

    def on_failed(self, message: SessionFailed) -> bool:
        """Take in that the session cannot go on; True if the CSC must go to FAULT for it by itself."""
        if message.session_id != self.id:
            return False
        if self._begun is not None:
            if not self._begun.done():
                self._begun.set_result(Refusal(message.code, message.report))
            return False
        return True

    @staticmethod
    def _tell(transaction: Transaction, session_id: str) -> None:
        changed = SessionChanged(session_id=session_id)
        transaction.enqueue(keys.Worker.BRIDGE, changed).enqueue(keys.Worker.HEALTH, changed)
