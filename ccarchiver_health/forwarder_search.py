"""Search for a Forwarder at the start of a session and after the loss of the paired one."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.tasks import cancel_and_wait
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
from ccarchiver_health.presence import PresenceMonitor
from ccarchiver_health.search_time import SearchTime

if TYPE_CHECKING:
    from ccarchiver_core.domain.forwarder import ForwarderEntry
    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.domain.worker_messages import AssociationResult
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_health.candidate_queue import Candidate
    from ccarchiver_health.forwarder_list import ForwarderList

POLL_INTERVAL = 0.25
"""Seconds between two polls of an empty list, or of a presence key."""

REQUEST_REPEAT_AFTER = 3.0
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
    forwarder_list : `ForwarderList`
        The list from which registered Forwarders are taken.
    """

    def __init__(
        self, context: WorkerContext, session: Session, forwarder_list: ForwarderList
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._session = session
        self._epoch = session.epoch
        self._list = forwarder_list
        self._candidates = CandidateQueue(context, forwarder_list)
        self._excluded = (
            {session.loss.queue}
            if session.loss is not None and session.loss.exclude_from_search
            else set[str]()
        )
        self._silent: list[str] = []
        self._attempted: set[str] = set()
        is_first = session.loss is None
        self._limit_s = self._settings.pair_timeout if is_first else self._settings.reassign_grace
        self._time = SearchTime(
            context,
            self._settings.connect_timeout if is_first else self._settings.broker_outage_limit,
        )
        # `start` must not time out during an attempt; nothing waits for a later search.
        self._last_attempt_at = (
            time.monotonic()
            + self._settings.start_limit
            - self._settings.connect_timeout
            - REQUEST_REPEAT_AFTER * self._settings.ack_timeout
            if is_first
            else math.inf
        )
        self._answer: asyncio.Future[AssociationResult] | None = None

    def answer(self, reply: AssociationResult) -> None:
        """Accept the result from the bridge. A result of an earlier attempt is ignored."""
        is_current = reply.session_id == self._session.id and reply.epoch == self._epoch
        if is_current and self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)

    async def run(self) -> None:
        """Search until a Forwarder is paired, the time is over, or the session has ended.

        After the time is over, each Forwarder that was not tried is tried once.
        """
        measuring = asyncio.create_task(self._time.run())
        try:
            while True:
                candidate = await self._candidates.next(self._excluded)
                if self._is_over and not self._may_try_late(candidate):
                    await self._give_up()
                    return
                if candidate is None:
                    await asyncio.sleep(POLL_INTERVAL)
                elif await self._try(candidate):
                    return
        finally:
            await cancel_and_wait(measuring)

    @property
    def _is_over(self) -> bool:
        return self._time.elapsed_s >= self._limit_s

    def _may_try_late(self, candidate: Candidate | None) -> bool:
        """Return whether to try a candidate although the time is over.

        A Forwarder that was not tried may have waited behind others that did not answer.
        """
        return (
            candidate is not None
            and candidate.entry.consume_queue not in self._attempted
            and time.monotonic() < self._last_attempt_at
        )

    async def _try(self, candidate: Candidate) -> bool:
        """Attempt an association with one candidate; return True if the search is over."""
        self._attempted.add(candidate.entry.consume_queue)
        reply = await self._request_association(candidate)
        if reply is None:
            return True
        entry = candidate.entry
        if reply.result is AssociationOutcome.ASSOCIATED and await self._is_present(
            reply.presence_key
        ):
            await self._pair(candidate, reply.presence_key)
            return True
        detail = reply.detail or f"its key {reply.presence_key} is not in Redis"
        _log.info("forwarder.association_failed", **self._log_keys(entry), reason=detail)
        if reply.result is AssociationOutcome.SILENT:
            self._silent.append(f"{entry.hostname} ({detail})")
            self._excluded.add(entry.consume_queue)
        transaction = Transaction().count("association_failures")
        await self._candidates.complete(
            transaction,
            candidate,
            AssociationAttempt(attempted_at=unix_time(), accepted=False, detail=detail),
        )
        await self._context.transactions.apply(transaction)
        return False

    async def _request_association(self, candidate: Candidate) -> AssociationResult | None:
        """Request an association attempt from the bridge, and return its result.

        Each attempt has a new epoch. The result is None if the search is over: the session has
        ended, or the bridge did not answer in time.
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
            await asyncio.wait(
                {self._answer}, timeout=REQUEST_REPEAT_AFTER * self._settings.ack_timeout
            )
            if self._answer.done():
                return self._answer.result()
            if self._is_over:
                await self._give_up()
                return None

    async def _is_present(self, presence_key: str) -> bool:
        """Return whether a presence key exists within PRESENCE_WAIT.

        After an outage of Redis its writer has the time to reconnect.
        """
        monitor = PresenceMonitor(self._context.redis)
        while await monitor.missing_for(presence_key) < PRESENCE_WAIT:
            if await retry_until_available(lambda: self._context.redis.exists(presence_key)):
                return True
            await asyncio.sleep(POLL_INTERVAL)
        return False

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
        for raw in await retry_until_available(lambda: self._list.entries_of(entry.consume_queue)):
            # A later entry of this Forwarder then means that it was restarted: Health._loss_reason.
            transaction.command("LREM", keys.FORWARDER_LIST, 0, raw)
        changed = SessionChanged(session_id=self._session.id)
        transaction.enqueue(keys.Worker.BRIDGE, changed).enqueue(keys.Worker.HEALTH, changed)
        transaction.enqueue(keys.Worker.SAL, SessionStarted(session_id=self._session.id))
        await self._context.transactions.apply(transaction)
        _log.info("forwarder.paired", **self._log_keys(entry))

    async def _give_up(self) -> None:
        code, report = self._failure()
        _log.error(
            "forwarder.not_found",
            effect="archiving stops until the CSC is started again",
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

    def _failure(self) -> tuple[int, str]:
        limit = self._limit_s
        if self._time.outage:
            before = f"{self._session.loss.report}; " if self._session.loss else ""
            return (
                ErrorCode.NO_RABBITMQ,
                f"{before}no Forwarder could be paired, because {self._time.outage}",
            )
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
            f"no living Forwarder in {where} within {limit:g} s; start a Forwarder",
        )
