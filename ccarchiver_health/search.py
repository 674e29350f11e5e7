"""Looks for a Forwarder: at the start of a session, and when the paired one is lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.asked import Asked
from ccarchiver_core.error_codes import ErrorCode
from ccarchiver_core.mail import AskForwarder, Reply, SessionChanged, SessionFault, SessionUp
from ccarchiver_core.redis_client import patiently
from ccarchiver_core.session import PairedForwarder, Pairing, only_during
from ccarchiver_core.step import Outcome, Step, unix_time
from ccarchiver_health.roster import Roster

if TYPE_CHECKING:
    from ccarchiver_core.mail import ForwarderEntry, ForwarderReply
    from ccarchiver_core.session import Session
    from ccarchiver_core.worker import WorkerContext
    from ccarchiver_health.roster import Candidate

LOOK_INTERVAL = 0.25
"""Seconds between two looks at an empty list."""

ASK_AGAIN_AFTER = 3.0
"""Times ACK_TIMEOUT after which the bridge is asked again: it asks a Forwarder twice, so its answer was lost."""

PRESENCE_WAIT = 3.5
"""Seconds a Forwarder that took the pairing may need to show its key: it writes it every 3 s."""

_log = structlog.get_logger(__name__)


class Search:
    """One search for a Forwarder; make a new one for each.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, steps, settings.
    session : `Session`
        As read when the search began.
    """

    def __init__(self, context: WorkerContext, session: Session) -> None:
        self._context = context
        self._settings = context.settings
        self._session = session
        self._epoch = session.epoch
        self._roster = Roster(context)
        self._mute = {session.loss.queue} if session.loss is not None and session.loss.mute else set[str]()
        self._silent: list[str] = []
        self._answer: asyncio.Future[ForwarderReply] | None = None

    def answer(self, reply: ForwarderReply) -> None:
        """Take the bridge's answer in; one to an older question is ignored."""
        asked = reply.session_id == self._session.id and reply.epoch == self._epoch
        if asked and self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)

    async def run(self) -> None:
        """Search until somebody is paired or the time is over; ends when the session does."""
        limit = self._settings.pair_timeout if self._session.loss is None else self._settings.reassign_grace
        idle_s = 0.0  # only time with nobody to ask counts: a bridge that is starting is no lack of Forwarders
        while True:
            candidate = await self._roster.next(self._mute)
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
                idle_s += time.monotonic() - began  # nobody asked us to ask this one
            if verdict:
                return

    async def _try(self, candidate: Candidate) -> bool:
        """Ask one candidate; True if the search is over."""
        reply = await self._ask(candidate)
        if reply is None:
            return True
        entry = candidate.entry
        if reply.reply is Reply.ASSOCIATED and await self._shows_itself(reply.presence_key):
            await self._pair(candidate, reply.presence_key)
            return True
        detail = reply.detail or f"its key {reply.presence_key} is not in Redis"
        _log.info("forwarder.passed_over", **self._log_keys(entry), why=detail)
        if reply.reply is Reply.SILENT:
            self._silent.append(f"{entry.hostname} ({detail})")
            self._mute.add(entry.consume_queue)
        step = Step().count("forwarders_passed_over")
        await self._roster.done(step, candidate, Asked(at=unix_time(), took_pairing=False, detail=detail))
        await self._context.runner.apply(step)
        return False

    async def _ask(self, candidate: Candidate) -> ForwarderReply | None:
        """Have the bridge ask a candidate under a new epoch; None if the session has ended."""
        self._epoch += 1
        self._answer = asyncio.get_running_loop().create_future()
        entry = candidate.entry
        _log.info("forwarder.asked", **self._log_keys(entry))
        mail = AskForwarder(session_id=self._session.id, epoch=self._epoch, forwarder=entry)
        while True:
            step = Step()
            only_during(step, self._session.id)
            step.do("HSET", keys.SESSION, "epoch", self._epoch)
            step.post(keys.Worker.BRIDGE, mail)
            if await self._context.runner.apply(step) is Outcome.REFUSED:
                return None
            await asyncio.wait({self._answer}, timeout=ASK_AGAIN_AFTER * self._settings.ack_timeout)
            if self._answer.done():
                return self._answer.result()

    async def _shows_itself(self, presence_key: str) -> bool:
        deadline = time.monotonic() + PRESENCE_WAIT
        while True:
            if await patiently(lambda: self._context.redis.exists(presence_key)):
                return True
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(LOOK_INTERVAL)

    async def _pair(self, candidate: Candidate, presence_key: str) -> None:
        entry = candidate.entry
        paired = PairedForwarder(**entry.model_dump(), presence_key=presence_key, since=unix_time())
        step = Step()
        only_during(step, self._session.id)
        step.set_fields(keys.SESSION, {"pairing": Pairing.PAIRED, "forwarder": paired.model_dump_json()})
        step.do("HDEL", keys.SESSION, "loss")
        write_association(step, self._context, paired)
        step.count("forwarders_paired")
        await self._roster.done(step, candidate, Asked(at=unix_time(), took_pairing=True))
        for raw in await patiently(lambda: self._roster.listed(entry.consume_queue)):
            step.do("LREM", keys.FORWARDER_LIST, 0, raw)  # so that a new entry of it is news, see Health
        changed = SessionChanged(session_id=self._session.id)
        step.post(keys.Worker.BRIDGE, changed).post(keys.Worker.HEALTH, changed)
        step.post(keys.Worker.SAL, SessionUp(session_id=self._session.id))
        await self._context.runner.apply(step)
        _log.info("forwarder.paired", **self._log_keys(entry))

    async def _give_up(self, limit: float) -> None:
        code, report = self._verdict(limit)
        _log.error("forwarder.none", error_code=int(code), report=report, session=self._session.id, epoch=self._epoch)
        step = Step()
        only_during(step, self._session.id)
        step.post(keys.Worker.SAL, SessionFault(session_id=self._session.id, code=code, report=report))
        await self._context.runner.apply(step)

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
            return loss.code, f"{loss.report}; no other Forwarder took over within {limit:g} s ({where})"
        if self._silent:
            return ErrorCode.NO_XFER_PARAMS_ACK, f"no Forwarder answered ASSOCIATED: {'; '.join(self._silent)}"
        return ErrorCode.NO_FORWARDER, f"no living Forwarder in {where} within {limit:g} s; is one running?"


def write_association(step: Step, context: WorkerContext, forwarder: PairedForwarder) -> None:
    """Show the paired Forwarder that its archiver lives."""
    settings = context.settings
    step.do("SETEX", settings.association_key, settings.beacon.seconds_to_expire, forwarder.hostname)
