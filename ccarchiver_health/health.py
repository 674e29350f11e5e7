"""The health worker's work: its mailbox, the pairing, the association key, the watches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.error_codes import ErrorCode
from ccarchiver_core.mail import (
    ForwarderReply,
    ForwarderSuspect,
    ProgramEnded,
    PurgeQueues,
    SessionChanged,
    SessionDown,
    Suspicion,
)
from ccarchiver_core.redis_client import AWAY_ERRORS, patiently
from ccarchiver_core.session import Loss, Pairing, Session, only_during, read_session
from ccarchiver_core.step import Step
from ccarchiver_core.tasks import cancel_and_wait
from ccarchiver_core.worker_watch import WorkerWatch
from ccarchiver_health import crashes
from ccarchiver_health.housekeeping import Housekeeping
from ccarchiver_health.lost_csc import LostCsc
from ccarchiver_health.presence import PresenceWatch
from ccarchiver_health.roster import Roster
from ccarchiver_health.search import Search, write_association
from ccarchiver_health.web.supervision import run_page

if TYPE_CHECKING:
    from ccarchiver_core.mailbox import Entry
    from ccarchiver_core.session import PairedForwarder
    from ccarchiver_core.worker import WorkerContext

_log = structlog.get_logger(__name__)


class Health:
    """Everything the health process does.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, lease, mailbox, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._settings = context.settings
        self._session = Session()
        self._roster = Roster(context)
        self._search: Search | None = None
        self._searching: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._reread_session(group)
                group.create_task(self._read_mail(group))
                group.create_task(self._keep_associated())
                group.create_task(self._watch_presence())
                watch = WorkerWatch(self._context, keys.Worker.SAL, keys.Worker.BRIDGE)
                group.create_task(watch.run())
                group.create_task(LostCsc(self._context, watch).run())
                group.create_task(Housekeeping(self._context).run())
        finally:
            await self._stop_search()

    async def _read_mail(self, group: asyncio.TaskGroup) -> None:
        while True:
            for entry in await self._context.mailbox.read():
                await self._context.mailbox.handle(entry, lambda it: self._take(it, group))

    async def _take(self, entry: Entry, group: asyncio.TaskGroup) -> None:
        step = Step().settle(keys.Worker.HEALTH, entry.id)
        match entry.mail:
            case SessionChanged(session_id=session_id):
                await self._reread_session(group)
                if not self._session.wanted or self._session.id != session_id:
                    step.post(keys.Worker.SAL, SessionDown(session_id=session_id, worker=keys.Worker.HEALTH))
            case ForwarderReply() as reply:
                if self._search is not None:
                    self._search.answer(reply)
            case ForwarderSuspect() as suspect:
                if suspect.session_id == self._session.id and suspect.epoch == self._session.epoch:
                    mute = suspect.suspicion is not Suspicion.NO_CONSUMER  # one that is released is not wanted back
                    await self._lose(ErrorCode(suspect.code), suspect.report, mute=mute)
                    await self._reread_session(group)
            case ProgramEnded(program=program):
                crashes.note(step, program)
            case other:
                _log.warning("mail.not_for_me", kind=other.kind)
        await self._context.runner.apply(step)

    async def _reread_session(self, group: asyncio.TaskGroup) -> None:
        session = await patiently(lambda: read_session(self._context.redis))
        before, self._session = self._session, session
        searching = session.wanted and session.pairing is Pairing.SEARCHING
        if not searching or session.id != before.id:
            await self._stop_search()
        if searching and (self._searching is None or (self._searching.done() and session != before)):
            self._search = Search(self._context, session)
            self._searching = group.create_task(self._search.run())
        self._show_state()

    def _show_state(self) -> None:
        session = self._session
        if not session.wanted:
            state = "idle: no session"
        elif session.forwarder is not None:
            state = f"paired with {session.forwarder.hostname}"
        else:
            state = "looking for a Forwarder"
        self._context.heart.state = state

    async def _stop_search(self) -> None:
        task, self._searching, self._search = self._searching, None, None
        if task is not None and not task.done():
            await cancel_and_wait(task)

    async def _keep_associated(self) -> None:
        """Write the association key at its interval; Redis refuses it when another session is in force."""
        while True:
            session = self._session
            if session.paired and session.forwarder is not None:
                step = Step()
                only_during(step, session.id)
                step.require(keys.SESSION, "epoch", session.epoch)
                write_association(step, self._context, session.forwarder)
                await self._context.runner.apply(step)
            await asyncio.sleep(self._settings.beacon.seconds_to_update)

    async def _watch_presence(self) -> None:
        watch = PresenceWatch(self._context.redis)
        epoch = -1
        while True:
            await watch.pause()
            session = self._session
            if not session.paired or session.forwarder is None:
                continue
            if session.epoch != epoch:
                watch.reset()
                epoch = session.epoch
            report = await self._why_gone(watch, session.forwarder)
            if report:
                await self._lose(ErrorCode.FORWARDER_GONE, report, mute=False)
                watch.reset()

    async def _why_gone(self, watch: PresenceWatch, forwarder: PairedForwarder) -> str:
        """Say by what Redis shows that the paired Forwarder is gone, or is another process by now; empty if it is not.

        A Forwarder puts itself on the list when it starts. One that is paired and does so has been restarted and knows
        nothing of the images in flight, though its queue has a consumer and its key is there.
        """
        key = forwarder.presence_key
        if await watch.missing_for(key) >= self._settings.presence_grace:
            return f"Forwarder {forwarder.hostname} is gone: its key {key} is not in Redis any more"
        try:
            relisted = await self._roster.listed(forwarder.consume_queue)
        except AWAY_ERRORS:
            return ""
        return f"Forwarder {forwarder.hostname} has been restarted: it has listed itself again" if relisted else ""

    async def _lose(self, code: ErrorCode, report: str, *, mute: bool) -> None:
        """Give the paired Forwarder up: a new epoch, its queue emptied, a search for another."""
        session = self._session
        if not session.paired or session.forwarder is None:
            return
        queue = session.forwarder.consume_queue
        _log.warning(
            "forwarder.lost",
            hostname=session.forwarder.hostname,
            queue=queue,
            session=session.id,
            epoch=session.epoch,
            report=report,
        )
        loss = Loss(code=code, report=report, queue=queue, mute=mute)
        changed = SessionChanged(session_id=session.id)
        step = Step()
        only_during(step, session.id)
        step.require(keys.SESSION, "epoch", session.epoch)
        step.set_fields(
            keys.SESSION,
            {"epoch": session.epoch + 1, "pairing": Pairing.SEARCHING, "loss": loss.model_dump_json()},
        )
        step.do("HDEL", keys.SESSION, "forwarder")
        step.do("DEL", self._settings.association_key)
        step.do("SADD", keys.TO_PURGE, queue)
        step.post(keys.Worker.BRIDGE, changed)
        step.post(keys.Worker.BRIDGE, PurgeQueues(session_id=session.id))
        step.post(keys.Worker.HEALTH, changed)
        step.count("forwarders_lost")
        await self._context.runner.apply(step)
        self._session = session.model_copy(update={"pairing": Pairing.SEARCHING, "forwarder": None})


async def work(context: WorkerContext) -> None:
    """Run the health worker until cancelled, and the status page beside it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(Health(context).run())
        group.create_task(run_page(context.settings))
