"""The CSC: its state machine, and the effects of each transition."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING

from typing_extensions import override

from ccarchiver_core import __version__, keys
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.errors import CcArchiverError, DataLostError
from ccarchiver_core.domain.file_status import FileStatus
from ccarchiver_core.domain.worker_messages import (
    ArchiveMissed,
    SessionFailed,
    SessionStarted,
    SessionStopped,
)
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.sal_interface.salobj_calls import finish
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import saved_state
from ccarchiver_sal.adapter import EventSource, ExpectedError, State, TypedCsc
from ccarchiver_sal.dependency_monitor import DependencyMonitor
from ccarchiver_sal.event_intake import EventIntake, topics_of
from ccarchiver_sal.idl_check import read_interfaces
from ccarchiver_sal.interface_watch import InterfaceWatch
from ccarchiver_sal.saved_state import SavedState
from ccarchiver_sal.session_control import END_LIMIT, SessionControl, StartFailure
from ccarchiver_sal.status_publisher import StatusPublisher

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from ccarchiver_core.messaging.mailbox import Entry
    from ccarchiver_core.runtime.worker import WorkerContext

SAVE_LIMIT = 2.0
"""Seconds a command waits until Redis holds its new state; then it is written in the background."""

SETTINGS_DIGITS = 12
"""Digits of the settings' SHA-256 in their version: enough to distinguish any two settings."""


class CCArchiverCsc(TypedCsc):
    """The archiver as operators and scripts see it; its name on SAL is a setting.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, lease, mailbox, settings. If Redis is unavailable, the lease may not be held yet.
    saved : `SavedState` or None
        State to resume after a restart; None to start in STANDBY.

    Raises
    ------
    ConfigError
        If an IDL file is missing, or lacks a topic or field that the archiver needs.
    """

    valid_simulation_modes = (0,)
    version = __version__

    def __init__(self, context: WorkerContext, saved: SavedState | None = None) -> None:
        interfaces = read_interfaces(context.settings.sal)
        super().__init__(interfaces[context.settings.sal.archiver])
        self._context = context
        self._saved = saved
        self._control = SessionControl(context)
        self._status_publisher = StatusPublisher(context, self)
        self._intake = EventIntake(context, self)
        self._dependency_monitor = DependencyMonitor(
            context, self.log, lambda: self.is_enabled, self._fault_if_active
        )
        self._sources = [
            EventSource(self, name, topics, self._intake.handle, self._intake.handle_history)
            for name, topics in topics_of(context.settings.sal).items()
        ]
        self._interface_watch = InterfaceWatch.of_the_bus(context.heartbeat)
        self._tasks: set[asyncio.Task[None]] = set()
        self._transition = ""
        self._starting: asyncio.Task[None] | None = None
        self._start_cancelled_by = ""
        self._ready = asyncio.Event()  # the lease is held; without Redis it is acquired later
        self._state_changed = asyncio.Event()
        self._state_saved = asyncio.Event()
        self._saving = False
        self.failure: BaseException | None = None
        """Error because of which the CSC closed itself, if it did."""
        if saved is not None:
            self.resume_in(saved.state)

    @override
    async def start(self) -> None:
        if self._context.transactions.fencing_token is not None:
            await self._load_previous()
        # Before the CSC publishes ENABLED: no event may arrive before its reader exists.
        await asyncio.gather(*(source.start() for source in self._sources))
        await super().start()
        await self.put_event(
            "settingVersions", {"recommendedSettingsVersion": "", "recommendedSettingsLabels": ""}
        )
        if self._saved is not None:
            self.log.info("resumed in %s after a restart", self._saved.state.name)
            for gap in self._intake.gaps:
                self.log.critical(gap)
            if self._saved.state is State.FAULT:
                await self.put_event(
                    "errorCode",
                    {
                        "errorCode": self._saved.error_code,
                        "errorReport": self._saved.error_report,
                        "traceback": "",
                    },
                )
        self._spawn(self._work())
        self._spawn(self._dependency_monitor.run())
        if self._interface_watch is not None:
            self._spawn(self._interface_watch.run())

    @override
    async def close_tasks(self) -> None:
        await super().close_tasks()
        if await self._cancel_start("the end of this process"):
            await asyncio.sleep(0)  # the start command is answered while SAL is still open
        for source in self._sources:
            await source.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._status_publisher.close()

    # ------------------------------------------------------------------ commands

    @override
    async def do_start(self, data: object) -> None:
        """Go to DISABLED; a standby or exitControl command during it cancels it."""
        self._start_cancelled_by = ""
        self._starting = asyncio.create_task(super().do_start(data))
        try:
            await self._starting
        except asyncio.CancelledError:
            if not self._start_cancelled_by:
                raise
            raise ExpectedError(f"start was cancelled by {self._start_cancelled_by}") from None

    async def begin_start(self, data: object) -> None:
        """Pair and connect; on failure go to FAULT and fail the command with the reason."""
        settings = self._context.settings
        with self._exclusive_transition("start"):
            await self.in_progress("start", data, settings.start_limit, "pairing with a Forwarder")
            failure = await self._begin_session()
            if failure is not None:
                self._go_to_fault(failure.code, failure.report)
                raise ExpectedError(f"{failure.code}: {failure.report}")

    async def end_start(self, data: object) -> None:
        """Publish which settings are in force.

        The log message is for the IDL of CCArchiver, which has no events for them.
        """
        del data
        text = self._context.settings.model_dump_json()
        version = f"{__version__}:{hashlib.sha256(text.encode()).hexdigest()[:SETTINGS_DIGITS]}"
        self.log.info("settings %s are in force", version)
        await self.put_event(
            "settingsApplied", {"settingsVersion": version, "otherSettingsEvents": ""}
        )
        await self.put_event("appliedSettingsMatchStart", {"appliedSettingsMatchStartIsTrue": 1})

    @override
    async def do_standby(self, data: object) -> None:
        """Go to STANDBY; also during `start`, when the CSC is in STANDBY still."""
        if await self._cancel_start("standby") and self.summary_state == State.STANDBY:
            await self.begin_standby(data)
        else:
            await super().do_standby(data)

    @override
    async def do_exitControl(self, data: object) -> None:
        """Go to OFFLINE and end; also during `start`."""
        await self._cancel_start("exitControl")
        await super().do_exitControl(data)

    async def _cancel_start(self, by: str) -> bool:
        """Cancel a `start` in progress and wait for its end; return whether there was one.

        It may still have ended by itself. Its session remains until it is ended.
        """
        if self._starting is None or self._transition != "start":
            return False
        self._start_cancelled_by = by
        self._starting.cancel()
        await asyncio.wait({self._starting})
        return True

    async def begin_standby(self, data: object) -> None:
        """End the session; when the command completes, the association key is gone."""
        with self._exclusive_transition("standby"):
            await self.in_progress("standby", data, END_LIMIT, "ending the session")
            await self._end_session()

    async def begin_exitControl(self, data: object) -> None:  # noqa: N802  salobj's name
        """End a session that still exists; the state of this CSC will not be resumed."""
        with self._exclusive_transition("exitControl"):
            await self.in_progress("exitControl", data, END_LIMIT, "ending the session")
            await self._end_session()

    async def do_resetFromFault(self, data: object) -> None:  # noqa: N802  salobj's name
        """Go from FAULT to STANDBY; the command fails in any other state."""
        if self.summary_state != State.FAULT:
            raise ExpectedError(
                f"resetFromFault not allowed in state {self.summary_state!r}; it is for FAULT only"
            )
        await self.do_standby(data)

    @override
    async def handle_summary_state(self) -> None:
        self._context.heartbeat.state = self.summary_state.name
        self._state_saved.clear()
        self._state_changed.set()
        if not self._saving:
            return  # during the start: the state is in Redis already, or is written soon
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAVE_LIMIT):
                await self._state_saved.wait()

    # ------------------------------------------------------------------ sessions and faults

    async def _begin_session(self) -> StartFailure | None:
        settings = self._context.settings
        ends_at = asyncio.get_running_loop().time() + settings.start_limit
        if not await self._redis_answers(settings.connect_timeout):
            return StartFailure(
                ErrorCode.NO_FORWARDER,
                f"no answer from Redis at {settings.redis_address} within "
                f"{settings.connect_timeout:g} s; start it, or correct its address in the site "
                "file; ccarchiver doctor",
            )
        try:
            async with asyncio.timeout_at(ends_at):
                return await self._control.begin()
        except TimeoutError:
            workers = (keys.Worker.BRIDGE, keys.Worker.HEALTH)
            absent = [
                worker for worker in workers if self._dependency_monitor.absent_for(worker) > 0
            ]
            code = ErrorCode.NO_RABBITMQ if keys.Worker.BRIDGE in absent else ErrorCode.NO_FORWARDER
            names = " and ".join(f"ccarchiver:{worker}" for worker in absent)
            silent = names or "the bridge or the health worker"
            report = f"no pairing within {settings.start_limit:g} s: {silent} did not answer"
            return StartFailure(code, f"{report}; see supervisorctl status")

    async def _redis_answers(self, limit: float) -> bool:
        try:
            async with asyncio.timeout(limit):
                await retry_until_available(self._context.redis.ping)
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    async def _end_session(self) -> None:
        """End the session.

        Without Redis, the association key expires by itself, and the rest is done when Redis is
        available again.
        """
        task = asyncio.create_task(self._control.end())
        self._track(task)
        done, _ = await asyncio.wait({task}, timeout=END_LIMIT)
        if not done:
            self.log.warning("session end not confirmed; without Redis the association key expires")

    def _go_to_fault(self, code: int, report: str) -> None:
        """Publish the error, go to FAULT, and end the session in the background."""
        self._publish_fault(code, report)
        self._spawn(self._record_fault(Transaction(), code, report))

    def _publish_fault(self, code: int, report: str) -> None:
        """Publish the error and go to FAULT; the CSC is in FAULT when this returns."""
        publishing = self.fault(code=code, report=report)
        if publishing is not None:
            self._spawn(publishing)

    async def _record_fault(self, transaction: Transaction, code: int, report: str) -> None:
        """Write the fault and the end of the session in one transaction.

        No crash then leaves one without the other.
        """
        saved_state.write_state(
            transaction.count(f"faults:{code}"), SavedState(State.FAULT, code, report)
        )
        if (
            not await self._control.request_stop(transaction)
            and self._context.transactions.fencing_token is not None
        ):
            # There was no session to end. The fault is counted all the same.
            await self._context.transactions.apply(Transaction().count(f"faults:{code}"))

    def _fault_if_active(self, code: ErrorCode, report: str) -> None:
        if self.disabled_or_enabled and not self._transition:
            self._go_to_fault(code, report)

    def on_intake_overflow(self, report: str) -> None:
        """Go to FAULT, as events are being lost; see `CscStatus`."""
        self._fault_if_active(ErrorCode.NO_FORWARDER, report)

    def on_exposure_refused(self, report: str) -> None:
        """Publish on SAL that an exposure is not archived; see `CscStatus`."""
        self.log.critical(report)

    def on_events_missed(self, report: str) -> None:
        """Publish on SAL that events are lost; see `CscStatus`."""
        self.log.critical(report)

    @property
    def is_faulted(self) -> bool:
        """Whether the CSC is in FAULT."""
        return bool(self.summary_state == State.FAULT)

    @property
    def is_enabled(self) -> bool:
        """Whether the CSC is ENABLED."""
        return bool(self.summary_state == State.ENABLED)

    @property
    def session_id(self) -> str:
        """The id of the current session."""
        return self._control.id

    @contextlib.contextmanager
    def _exclusive_transition(self, name: str) -> Iterator[None]:
        if self._transition:
            raise ExpectedError(f"{name} not allowed while {self._transition} is in progress")
        self._transition = name
        try:
            yield
        finally:
            self._transition = ""

    # ------------------------------------------------------------------ background work

    async def _work(self) -> None:
        """Run the tasks that need the lease: mailbox, events into the ledger, saved state."""
        if self._context.transactions.fencing_token is None:
            await self._context.lease.acquire()
            await self._load_previous()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._context.lease.renew_forever())
            group.create_task(self._context.heartbeat.publish())
            group.create_task(self._read_mailbox())
            group.create_task(self._intake.run())
            group.create_task(self._save_state())

    async def _load_previous(self) -> None:
        """Load what an earlier process left, and end its session unless the CSC resumes it."""
        self._status_publisher.open()
        await self._intake.load()
        await self._control.load()
        if self._saved is None and self._control.id:
            transaction = Transaction()
            self.log.warning(
                "session %s of an earlier run is ended: this one starts in STANDBY",
                self._control.id,
            )
            self._control.discard(transaction)
            await self._context.transactions.apply(transaction)
        self._ready.set()

    async def _read_mailbox(self) -> None:
        while True:
            entries = await self._context.mailbox.read()
            statuses = [one.message for one in entries if isinstance(one.message, FileStatus)]
            await self._status_publisher.prepare(statuses)
            for entry in entries:
                await self._context.mailbox.handle(entry, self._handle)
            await self._status_publisher.drain()

    async def _handle(self, entry: Entry) -> None:
        if isinstance(entry.message, FileStatus):
            await self._status_publisher.publish(entry.message, entry.id)
            return
        await self._status_publisher.submit()
        match entry.message:
            case ArchiveMissed() as message:
                await self._intake.accept_missed(message)
            case SessionStarted() as message:
                self._control.on_started(message)
            case SessionStopped() as message:
                self._control.on_stopped(message)
            case SessionFailed() as message:
                if self._control.on_failed(message) and self.disabled_or_enabled:
                    await finish(self.fault(code=message.code, report=message.report))
                    transaction = Transaction().ack(keys.Worker.SAL, entry.id)
                    await self._record_fault(transaction, message.code, message.report)
            case other:
                self.log.warning("message of kind %s is not for the CSC", other.kind)
        await self._context.transactions.apply(Transaction().ack(keys.Worker.SAL, entry.id))

    async def _save_state(self) -> None:
        self._saving = True
        self._state_changed.set()
        while True:
            await self._state_changed.wait()
            self._state_changed.clear()
            code, report = self.error_report if self.summary_state == State.FAULT else (0, "")
            transaction = Transaction()
            saved_state.write_state(transaction, SavedState(self.summary_state, code, report))
            await self._context.transactions.apply(transaction)
            if not self._state_changed.is_set():
                self._state_saved.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._track(asyncio.create_task(work))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if not isinstance(error, CcArchiverError | BaseExceptionGroup):
            self.log.error("the CSC cannot continue", exc_info=error)
        self.failure = self.failure or error
        lost = _find(error, DataLostError)
        if lost is not None and self.disabled_or_enabled:
            self._publish_fault(ErrorCode.NO_FORWARDER, str(lost))
        self._closing = asyncio.create_task(self.close())


def _find(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """Return the first error of a type, also from within exception groups; None without one."""
    if isinstance(error, BaseExceptionGroup):
        return next(
            (found for part in error.exceptions if (found := _find(part, kind)) is not None), None
        )
    return error if isinstance(error, kind) else None
