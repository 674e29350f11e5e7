"""What is wrong now, in the order an operator should look at it, each with what to do."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.config.tls import is_of_tls
from ccarchiver_core.domain.supervised_process import ProcessState, SupervisedProcess
from ccarchiver_core.store.csc_state import FAULT
from ccarchiver_core.store.ledger import ImageState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.status.overview import Overview, WorkerView

MAILBOX_BACKLOG_S = 10.0
"""Age of a letter above which its worker counts as behind: usual is below a tenth of a second, a restart takes five."""

LETTER_NEW_S = 3600.0
"""A dead letter is news for an hour; later it is still counted."""

SAME_TEXT = 60
"""Characters of a report by which it is known again in a log line, which is cut: enough to name peer and cause."""

LOGIN_ERRORS = ("username-password", "authentication")
"""What is in the error when the login is wrong."""

ERROR_NEW_S = 600.0
"""A worker's last error is shown as an alarm for ten minutes."""


FAILING_TRIES = 3
"""Starts in a row that failed, from which on it is an alarm: some six seconds; being killed twice is no pattern."""


class Severity(enum.StrEnum):
    """How soon somebody must look."""

    CRITICAL = "critical"
    """Images are not archived now, or soon will not be."""
    WARNING = "warning"


class AlarmName(enum.StrEnum):
    """Everything that can be wrong but a fault, whose name is that of `fault_alarm`; each has a runbook entry."""

    REDIS_UNAVAILABLE = "redis_unavailable"
    REDIS_READ_ONLY = "redis_read_only"
    PROCESS_FATAL = "process_fatal"
    PROCESS_CRASH_LOOP = "process_crash_loop"
    WORKER_UNAVAILABLE = "worker_unavailable"
    WORKER_DEGRADED = "worker_degraded"
    NO_FORWARDER = "no_forwarder"
    FORWARDER_SILENT = "forwarder_silent"
    MAILBOX_BACKLOG = "mailbox_backlog"
    WORKER_ERROR = "worker_error"
    IMAGES_STALLED = "images_stalled"
    DEAD_LETTERS = "dead_letters"
    REDIS_NOT_DURABLE = "redis_not_durable"
    NO_STANDBY = "no_standby"


def fault_alarm(code: int) -> str:
    """Name the alarm of a CSC that is in FAULT with an error code."""
    return f"fault_{code}"


ALARM_NAMES = (*(fault_alarm(code) for code in ErrorCode), *AlarmName)
"""Every name an alarm can have."""


class Alarm(BaseModel):
    """One thing that is wrong."""

    severity: Severity
    name: str
    """Short and stable, for programs: an entry of the runbook has it as title."""
    text: str
    remedy: str
    """What to do, with a literal command where there is one."""


def alarms_of(view: Overview) -> list[Alarm]:
    """List what is wrong, critical things first; empty if all is well."""
    if not view.redis.answers:
        text = f"Redis at {view.redis.address} does not answer: {view.redis.error}"
        return [_critical(AlarmName.REDIS_UNAVAILABLE, text, _redis_remedy(view.redis.error))]
    found = [*_csc(view), *_workers(view), *_pairing(view), *_images(view), *_redis(view)]
    return sorted(found, key=lambda alarm: alarm.severity is not Severity.CRITICAL)


def _redis_remedy(error: str) -> str:
    """Say what to do about a Redis that does not answer; one that does not let us in must not be restarted."""
    if is_of_tls(error) or any(word in error.lower() for word in LOGIN_ERRORS):
        return "it is there, but does not let us in: ccarchiver doctor says what to mend"
    return "start Redis, or restart it if it hangs; the workers go on by themselves when it is back"


def _critical(name: str, text: str, do: str) -> Alarm:
    return Alarm(severity=Severity.CRITICAL, name=name, text=text, remedy=do)


def _warning(name: str, text: str, do: str) -> Alarm:
    return Alarm(severity=Severity.WARNING, name=name, text=text, remedy=do)


def _csc(view: Overview) -> Iterator[Alarm]:
    if view.csc is not None and view.csc.state == FAULT:
        code = view.csc.error_code
        do = f"mend the cause (runbook: {code}), then command_ccarchiver standby, start, enable"
        yield _critical(fault_alarm(code), f"the CSC is in FAULT with {code}: {view.csc.error_report}", do)


def _workers(view: Overview) -> Iterator[Alarm]:
    for part in view.workers:
        name = f"ccarchiver:{part.worker}"
        failed = [alarm for one in _programs(view, name) for alarm in _program(view, one, part)]
        yield from failed
        if part.heartbeat is None:
            if not failed:  # one cause, one alarm
                do = f"supervisorctl status {name}; supervisorctl restart {name}; its log says why"
                yield _critical(
                    AlarmName.WORKER_UNAVAILABLE, f"worker {name} shows no life{_how_it_ended(view, name)}", do
                )
            continue
        yield from _living(view, part, name)
    missing = [str(part.worker) for part in view.workers if not part.standby]
    if view.has_second_host and missing:
        text = f"nobody stands by for {', '.join(missing)}: if this host fails, nothing takes over"
        yield _warning(
            AlarmName.NO_STANDBY, text, "on the other host: supervisorctl status; supervisorctl start ccarchiver:*"
        )
    workers = {f"ccarchiver:{part.worker}" for part in view.workers}
    for program in view.processes:
        if program.name not in workers:
            yield from _program(view, program, None)


def _programs(view: Overview, name: str) -> list[SupervisedProcess]:
    """Give what is known of one program, of each host that has it; the newest first."""
    return sorted((one for one in view.processes if one.name == name), key=lambda one: -one.changed_at)


def _program(view: Overview, program: SupervisedProcess, part: WorkerView | None) -> Iterator[Alarm]:
    """Tell of a program that supervisord cannot keep running; a sign of life since then, from any host, ends that."""
    if part is not None and part.heartbeat is not None and part.heartbeat.written_at > program.changed_at:
        return
    since = f"{max(0.0, view.at - program.changed_at):.0f} s ago"
    name = program.name
    if program.state is ProcessState.FATAL:
        text = f"supervisord on {program.host} has given {name} up, {since}: it does not start"
        do = f"supervisorctl tail {name}; mend what it says, then supervisorctl start {name}"
        yield _critical(AlarmName.PROCESS_FATAL, text, do)
    elif program.state is ProcessState.BACKOFF and program.tries >= FAILING_TRIES:
        text = f"{name} on {program.host} ends right after its start, {program.tries} times in a row, the last {since}"
        do = f"supervisorctl tail {name}; ccarchiver doctor; supervisord goes on trying"
        yield _critical(AlarmName.PROCESS_CRASH_LOOP, text, do)


def _how_it_ended(view: Overview, name: str) -> str:
    """Say what supervisord knows of the end of a worker that shows no life; empty if it knows of none."""
    known = _programs(view, name)
    if not known:
        return ""
    program = known[0]
    since = f"{max(0.0, view.at - program.changed_at):.0f} s ago"
    match program.state:
        case ProcessState.STOPPED:
            return f": it was stopped {since}"
        case ProcessState.EXITED if program.expected:
            return f": it ended as it was told {since}"
        case ProcessState.EXITED | ProcessState.BACKOFF:
            return f": it ended unexpectedly {since}"
        case ProcessState.RUNNING | ProcessState.FATAL:
            return ""


def _living(view: Overview, part: WorkerView, name: str) -> Iterator[Alarm]:
    heartbeat = part.heartbeat
    if heartbeat is None:
        return
    if heartbeat.degraded_reason:
        yield _critical(AlarmName.WORKER_DEGRADED, f"{name}: {heartbeat.degraded_reason}", "ccarchiver doctor")
    if part.mailbox_oldest_s > MAILBOX_BACKLOG_S:
        text = f"{name} is behind: {part.mailbox_depth} letters wait, the oldest for {part.mailbox_oldest_s:.0f} s"
        yield _warning(
            AlarmName.MAILBOX_BACKLOG,
            text,
            f"ccarchiver status --watch; if it does not shrink: supervisorctl restart {name}",
        )
    is_new = heartbeat.last_error and view.at - heartbeat.last_error_at < ERROR_NEW_S
    if is_new and not _is_the_fault(view, heartbeat.last_error):
        text = f"{name} logged an error {view.at - heartbeat.last_error_at:.0f} s ago: {heartbeat.last_error}"
        yield _warning(AlarmName.WORKER_ERROR, text, f"look into the log of {name}")


def _is_the_fault(view: Overview, error: str) -> bool:
    """Tell whether an error is what the CSC is in FAULT for: that has an alarm of its own."""
    csc = view.csc
    return csc is not None and csc.state == FAULT and bool(csc.error_report) and csc.error_report[:SAME_TEXT] in error


def _pairing(view: Overview) -> Iterator[Alarm]:
    pairing = view.pairing
    if pairing is None or not pairing.is_active:
        return
    if not pairing.hostname:
        why = f": {pairing.loss}" if pairing.loss else ""
        do = f"start a Forwarder; it lists itself in {keys.FORWARDER_LIST}"
        yield _critical(AlarmName.NO_FORWARDER, f"no Forwarder is paired{why}", do)
    elif pairing.presence_ttl_s is None:
        text = f"Forwarder {pairing.hostname} is paired, but its key {pairing.presence_key} is not in Redis"
        yield _warning(AlarmName.FORWARDER_SILENT, text, "wait some seconds: another one is looked for when it is gone")


def _images(view: Overview) -> Iterator[Alarm]:
    stalled = [image for image in view.waiting if image.state is ImageState.STALLED]
    if stalled:
        first = stalled[0]
        which = "1 image is stalled" if len(stalled) == 1 else f"{len(stalled)} images are stalled; the oldest"
        text = f"{which}: {first.obsid} waits for {first.waiting_on}"
        yield _warning(AlarmName.IMAGES_STALLED, text, f"ccarchiver image {first.obsid}")
    if view.newest_dead_letter_at is not None and view.at - view.newest_dead_letter_at < LETTER_NEW_S:
        text = f"{view.dead_letters} dead letters, the newest {view.at - view.newest_dead_letter_at:.0f} s old"
        yield _warning(AlarmName.DEAD_LETTERS, text, "ccarchiver deadletter list")


def _redis(view: Overview) -> Iterator[Alarm]:
    if view.redis.write_rejection:
        text = f"Redis at {view.redis.address} refuses writes: {view.redis.write_rejection}"
        yield _critical(AlarmName.REDIS_READ_ONLY, text, "ccarchiver doctor; df -h; the workers wait meanwhile")
    elif not view.redis.is_durable:
        do = "redis-cli config set appendonly yes, and in redis.conf; deploy/redis.conf shows all"
        yield _warning(AlarmName.REDIS_NOT_DURABLE, f"Redis at {view.redis.address} is {view.redis.durability}", do)
