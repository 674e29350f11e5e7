"""Search for a Forwarder at the start of a session and after the loss of the paired one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.session import PairedForwarder, Pairing
from ccarchiver_core.domain.worker_messages import (
    AssociateForwarder,
    AssociationOutcome,
    SessionChanged,
    SessionFailed,
    SessionStarted,
)
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store.association_attempts import AssociationAttempt
from ccarchiver_core.store.session import require_active
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_health.association_key import write_association
from ccarchiver_health.candidate_queue import CandidateQueue

if TYPE_CHECKING:
    from ccarchiver_core.domain.forwarder import ForwarderEntry
    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.domain.worker_messages import AssociationResult
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_health.candidate_queue import Candidate

LOOK_INTERVAL = 0.25
"""Seconds between two polls of an empty list, or of a presence key."""

ASK_AGAIN_AFTER = 3.0
"""Number of ACK_TIMEOUT without a result after which the request to the bridge is repeated.

The bridge sends ASSOCIATED twice and has a result after two of them. Without one, the request or
the result was lost.
"""

PRESENCE_WAIT = 3.5
"""Seconds to wait for the presence key of a Forwarder that accepted. It writes it every 3 s."""

_log = structlog.get_logger(__name__)


class ForwarderSearch:
    """One search for a Forwarder. An instance is used once.

    Parameters
    ----------
    context : `WorkerContext`
        Redis client, transactions and settings.
    session : `Session`
        The session as read when the search begins.
    """

    def __init__(self, context: WorkerContext, session: Session) -> None:
        self._context = context
        self._settings = context.settings
        self._session = session
        self._epoch = session.epoch
        self._candidates = CandidateQueue(context)
        self._mute = (
            {session.loss.queue}
            if session.loss is not None and session.loss.exclude_from_search
            else set[str]()
        )
        self._silent: list[str] = []
        self._answer: asyncio.Future[AssociationResult] | None = None

    def answer(self, reply: AssociationResult) -> None:
        """Accept the result from the bridge. A result of an earlier attempt is ignored."""
        is_current = reply.session_id == self._session.id and reply.epoch == self._epoch
        if is_current and self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)

    async def run(self) -> None:
        """Search until a Forwarder is paired, the time is over, or the session has ended."""
        limit = (
            self._settings.pair_timeout
            if self._session.loss is None
            else self._settings.reassign_grace
        )
        # Only time without a registered candidate counts. A slow bridge, for example one that is
        # starting, does not mean that Forwarders are missing.
        idle_s = 0.0
        while True:
            candidate = await self._candidates.next(self._mute)
            if candidate is None:
                if idle_s >= limit:
                    await self._give_up(limit)
                    return
                await asyncio.sleep(LOOK_INTERVAL)
                idle_s += LOOK_INTERVAL
                continue
            if candidate.listed:
                verdict = await self._try(candidate)
            else:
                began = time.monotonic()
                verdict = await self._try(candidate)
                idle_s += time.monotonic() - began  # it did not register, so the time counts
            if verdict:
                return

    async def _try(self, candidate: Candidate) -> bool:
        """Attempt an association with one candidate; return True if the search is over."""
        reply = await self._ask(candidate)
        if reply is None:
            return True
        entry = candidate.entry
        if reply.result is AssociationOutcome.ASSOCIATED and await self._shows_itself(
            reply.presence_key
        ):
            await self._pair(candidate, reply.presence_key)
            return True
        detail = reply.detail or f"its key {reply.presence_key} is not in Redis"
        _log.info("forwarder.association_failed", **self._log_keys(entry), reason=detail)
        if reply.result is AssociationOutcome.SILENT:
            self._silent.append(f"{entry.hostname} ({detail})")
            self._mute.add(entry.consume_queue)
        transaction = Transaction().count("association_failures")
        await self._candidates.complete(
            transaction,
            candidate,
            AssociationAttempt(attempted_at=unix_time(), accepted=False, detail=detail),
        )
        await self._context.transactions.apply(transaction)
        return False

    async def _ask(self, candidate: Candidate) -> AssociationResult | None:
        """Request an association attempt from the bridge, and return its result.

        Each attempt has a new epoch. The result is None if the session has ended.
        """
        self._epoch += 1
        self._answer = asyncio.get_running_loop().create_future()
        entry = candidate.entry
        _log.info("forwarder.association_requested", **self._log_keys(entry))
        message = AssociateForwarder(
            session_id=self._session.id, epoch=self._epoch, forwarder=entry
        )
        while True:
            transaction = Transaction()
            require_active(transaction, self._session.id)
            transaction.command("HSET", keys.SESSION, "epoch", self._epoch)
            transaction.enqueue(keys.Worker.BRIDGE, message)
            if await self._context.transactions.apply(transaction) is Outcome.PRECONDITION_FAILED:
                return None
            await asyncio.wait({self._answer}, timeout=ASK_AGAIN_AFTER * self._settings.ack_timeout)
            if self._answer.done():
                return self._answer.result()

    async def _shows_itself(self, presence_key: str) -> bool:
        deadline = time.monotonic() + PRESENCE_WAIT
        while True:
            if await retry_until_available(lambda: self._context.redis.exists(presence_key)):
                return True
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(LOOK_INTERVAL)

    async def _pair(self, candidate: Candidate, presence_key: str) -> None:
        entry = candidate.entry
        paired = PairedForwarder(**entry.model_dump(), presence_key=presence_key, since=unix_time())
        transaction = Transaction()
        require_active(transaction, self._session.id)
        transaction.set_fields(
            keys.SESSION, {"pairing": Pairing.PAIRED, "forwarder": paired.model_dump_json()}
        )
        transaction.command("HDEL", keys.SESSION, "loss")
        write_association(transaction, self._context, paired)
        transaction.count("forwarders_paired")
        await self._candidates.complete(
            transaction, candidate, AssociationAttempt(attempted_at=unix_time(), accepted=True)
        )
        for raw in await retry_until_available(
            lambda: self._candidates.listed(entry.consume_queue)
        ):
            # A later entry of this Forwarder then means that it was restarted: Health._why_gone.
            transaction.command("LREM", keys.FORWARDER_LIST, 0, raw)
        changed = SessionChanged(session_id=self._session.id)
        transaction.enqueue(keys.Worker.BRIDGE, changed).enqueue(keys.Worker.HEALTH, changed)
        transaction.enqueue(keys.Worker.SAL, SessionStarted(session_id=self._session.id))
        await self._context.transactions.apply(transaction)
        _log.info("forwarder.paired", **self._log_keys(entry))

    async def _give_up(self, limit: float) -> None:
        code, report = self._verdict(limit)
        _log.error(
            "forwarder.not_found",
            error_code=int(code),
            report=report,
            session=self._session.id,
            epoch=self._epoch,
        )
        transaction = Transaction()
        require_active(transaction, self._session.id)
        transaction.enqueue(
            keys.Worker.SAL, SessionFailed(session_id=self._session.id, code=code, report=report)
        )
        await self._context.transactions.apply(transaction)

    def _log_keys(self, entry: ForwarderEntry) -> dict[str, str | int]:
        return {
            "hostname": entry.hostname,
            "queue": entry.consume_queue,
            "session": self._session.id,
            "epoch": self._epoch,
        }

    def _verdict(self, limit: float) -> tuple[int, str]:
        where = f"list {keys.FORWARDER_LIST} in Redis at {self._settings.redis_address}"
        loss = self._session.loss
        if loss is not None:
            return (
                loss.code,
                f"{loss.report}; no other Forwarder took over within {limit:g} s ({where})",
            )
        if self._silent:
            return (
                ErrorCode.NO_XFER_PARAMS_ACK,
                f"no Forwarder answered ASSOCIATED: {'; '.join(self._silent)}",
            )
        return (
            ErrorCode.NO_FORWARDER,
            f"no living Forwarder in {where} within {limit:g} s; is one running?",
        )
