"""The active alarms, the most severe first, each with its remedy."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.base.clock import utc_text
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.config.tls import is_of_tls
from ccarchiver_core.domain.image_record import ImageState, MissedBy
from ccarchiver_core.domain.supervised_process import ProcessState, SupervisedProcess
from ccarchiver_core.redis.server_check import REJECTED
from ccarchiver_core.store.csc_state import FAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.status.overview import Overview, WorkerView

MAILBOX_BACKLOG_S = 10.0
"""Age of the oldest message in a mailbox above which its worker counts as behind.

The usual age is below a tenth of a second; a restart takes five seconds.
"""

DEAD_LETTER_NEW_S = 3600.0
"""Seconds for which a new dead letter is an alarm. After that it is only counted."""

SAME_TEXT = 60
"""Characters of the CSC's error text that are compared with a log line, which may be truncated.

They are enough to name the peer and the cause.
"""

REJECTIONS = ("username-password", "authentication", REJECTED)
"""Parts of the error text that mean that Redis rejects the login or the connection."""

ERROR_NEW_S = 600.0
"""Seconds for which a worker's last error is an alarm."""

FAILING_TRIES = 3
"""Failed starts in a row that are an alarm: they take about six seconds. Two may be two kills."""


class Severity(enum.StrEnum):
    """How urgent an alarm is."""

    CRITICAL = "critical"
    """Images are not archived now, or will soon not be archived."""
    WARNING = "warning"


class AlarmName(enum.StrEnum):
    """The names of all alarms except faults, which `fault_alarm` names.

    Each has an entry in the runbook.
    """

    REDIS_UNAVAILABLE = "redis_unavailable"
    REDIS_READ_ONLY = "redis_read_only"
    PROCESS_FATAL = "process_fatal"
    PROCESS_CRASH_LOOP = "process_crash_loop"
    WORKER_UNAVAILABLE = "worker_unavailable"
    WORKER_DEGRADED = "worker_degraded"
    OBSID_REUSED = "obsid_reused"
    NO_FORWARDER = "no_forwarder"
    FORWARDER_SILENT = "forwarder_silent"
    MAILBOX_BACKLOG = "mailbox_backlog"
    WORKER_ERROR = "worker_error"
    IMAGES_STALLED = "images_stalled"
    IMAGES_MISSED = "images_missed"
    SCANS_POSTPONED = "scans_postponed"
    RECORDS_UNREADABLE = "records_unreadable"
    DEAD_LETTERS = "dead_letters"
    REDIS_NOT_DURABLE = "redis_not_durable"
    NO_STANDBY = "no_standby"


NOT_ARCHIVED: Final = "it is not archived"

KNOWN_OF_MISSED: Final[dict[str, str]] = {
    MissedBy.SCAN: f"the camera took it, and {NOT_ARCHIVED}",
    MissedBy.NUMBERS: "a number is missing between two others, and no scan has listed it",
}
"""What is known of a missed image, by what has shown it. A missing number may be no exposure."""


def fault_alarm(code: int) -> str:
    """Return the name of the alarm for a CSC that is in FAULT with an error code."""
    return f"fault_{code}"


ALARM_NAMES = (*(fault_alarm(code) for code in ErrorCode), *AlarmName)
"""All alarm names."""


class Alarm(BaseModel):
    """One alarm."""

    severity: Severity
    name: str
    """Short and stable, for programs. It is the title of the alarm's runbook entry."""
    text: str
    remedy: str
    """What to do, with the literal command if there is one."""


def alarms_of(view: Overview) -> list[Alarm]:
    """Return the active alarms, critical ones first. The list is empty if all is well."""
    if not view.redis.answers:
        text = f"Redis at {view.redis.address} {view.redis.error}"
        return [_critical(AlarmName.REDIS_UNAVAILABLE, text, _redis_remedy(view.redis.error))]
    found = [
        *_csc(view),
        *_workers(view),
        *_pairing(view),
        *_images(view),
        *_records(view),
        *_redis(view),
    ]
    return sorted(found, key=lambda alarm: alarm.severity is not Severity.CRITICAL)


def _redis_remedy(error: str) -> str:
    """Return the remedy for an unavailable Redis.

    A Redis that rejects the connection or the login must not be restarted.
    """
    if is_of_tls(error) or any(word in error.lower() for word in REJECTIONS):
        return "Redis runs, but rejects the connection: ccarchiver doctor prints what to correct"
    return (
        "start Redis, or restart it if it hangs; the workers continue by themselves when it is back"
    )


def _critical(name: str, text: str, remedy: str) -> Alarm:
    return Alarm(severity=Severity.CRITICAL, name=name, text=text, remedy=remedy)


def _warning(name: str, text: str, remedy: str) -> Alarm:
    return Alarm(severity=Severity.WARNING, name=name, text=text, remedy=remedy)


def _csc(view: Overview) -> Iterator[Alarm]:
    if view.csc is not None and view.csc.state == FAULT:
        code = view.csc.error_code
        text = f"the CSC is in FAULT with {code}: {view.csc.error_report}"
        remedy = (
            f"correct the cause (runbook: {code}), then command_ccarchiver standby, start, enable"
        )
        yield _critical(fault_alarm(code), text, remedy)


def _workers(view: Overview) -> Iterator[Alarm]:
    for part in view.workers:
        name = f"ccarchiver:{part.worker}"
        failed = [
            alarm for program in _programs(view, name) for alarm in _program(view, program, part)
        ]
        yield from failed
        if part.heartbeat is None:
            if not failed:  # one cause, one alarm
                text = f"worker {name} sends no heartbeat{_how_it_ended(view, name)}"
                remedy = (
                    f"supervisorctl status {name}; supervisorctl restart {name}; "
                    "its log contains the reason"
                )
                yield _critical(AlarmName.WORKER_UNAVAILABLE, text, remedy)
            continue
        yield from _living(view, part, name)
    missing = [str(part.worker) for part in view.workers if not part.standby]
    if view.has_second_host and missing:
        text = f"no standby for {', '.join(missing)}: if this host fails, archiving stops"
        remedy = "on the other host: supervisorctl status; supervisorctl start ccarchiver:*"
        yield _warning(AlarmName.NO_STANDBY, text, remedy)
    workers = {f"ccarchiver:{part.worker}" for part in view.workers}
    for program in view.processes:
        if program.name not in workers:
            yield from _program(view, program, None)


def _programs(view: Overview, name: str) -> list[SupervisedProcess]:
    """Return the entries of one program on all hosts, the newest first."""
    found = (program for program in view.processes if program.name == name)
    return sorted(found, key=lambda program: -program.changed_at)


def _program(
    view: Overview, program: SupervisedProcess, part: WorkerView | None
) -> Iterator[Alarm]:
    """Yield the alarm of a program that supervisord cannot keep running.

    A later heartbeat of its worker, from any host, clears the alarm.
    """
    heartbeat = None if part is None else part.heartbeat
    if heartbeat is not None and heartbeat.written_at > program.changed_at:
        return
    since = f"{max(0.0, view.at - program.changed_at):.0f} s ago"
    name = program.name
    if program.state is ProcessState.FATAL:
        text = f"supervisord on {program.host} gave up starting {name} {since}"
        remedy = f"supervisorctl tail {name}; correct the cause, then supervisorctl start {name}"
        yield _critical(AlarmName.PROCESS_FATAL, text, remedy)
    elif program.state is ProcessState.BACKOFF and program.tries >= FAILING_TRIES:
        text = (
            f"{name} on {program.host} exits right after its start, "
            f"{program.tries} times in a row, the last time {since}"
        )
        remedy = f"supervisorctl tail {name}; ccarchiver doctor; supervisord keeps trying"
        yield _critical(AlarmName.PROCESS_CRASH_LOOP, text, remedy)


def _how_it_ended(view: Overview, name: str) -> str:
    """Return how a worker without a heartbeat ended, as supervisord saw it; empty if unknown."""
    known = _programs(view, name)
    if not known:
        return ""
    program = known[0]
    since = f"{max(0.0, view.at - program.changed_at):.0f} s ago"
    match program.state:
        case ProcessState.STOPPED:
            return f": it was stopped {since}"
        case ProcessState.EXITED if program.expected:
            return f": it exited as expected {since}"
        case ProcessState.EXITED | ProcessState.BACKOFF:
            return f": it exited unexpectedly {since}"
        case ProcessState.RUNNING | ProcessState.FATAL:
            return ""


def _living(view: Overview, part: WorkerView, name: str) -> Iterator[Alarm]:
    heartbeat = part.heartbeat
    if heartbeat is None:
        return
    if heartbeat.degraded_reason:
        text = f"{name}: {heartbeat.degraded_reason}"
        yield _critical(AlarmName.WORKER_DEGRADED, text, "ccarchiver doctor")
    if part.mailbox_oldest_s > MAILBOX_BACKLOG_S:
        waiting = f"{part.mailbox_depth} messages waiting"
        text = f"{name} is behind: {waiting}, the oldest for {part.mailbox_oldest_s:.0f} s"
        yield _warning(
            AlarmName.MAILBOX_BACKLOG,
            text,
            f"ccarchiver status --watch; if it does not shrink: supervisorctl restart {name}",
        )
    is_new = heartbeat.last_error and view.at - heartbeat.last_error_at < ERROR_NEW_S
    if is_new and not _is_the_fault(view, heartbeat.last_error):
        age_s = view.at - heartbeat.last_error_at
        text = f"{name} logged an error {age_s:.0f} s ago: {heartbeat.last_error}"
        yield _warning(AlarmName.WORKER_ERROR, text, f"read the log of {name}")


def _is_the_fault(view: Overview, error: str) -> bool:
    """Return whether an error is the cause of the CSC's FAULT, which has an alarm of its own."""
    csc = view.csc
    if csc is None or csc.state != FAULT or not csc.error_report:
        return False
    return csc.error_report[:SAME_TEXT] in error


def _pairing(view: Overview) -> Iterator[Alarm]:
    pairing = view.pairing
    if pairing is None or not pairing.is_active:
        return
    if not pairing.hostname:
        reason = f": {pairing.loss}" if pairing.loss else ""
        remedy = f"start a Forwarder; it registers in {keys.FORWARDER_LIST}"
        yield _critical(AlarmName.NO_FORWARDER, f"no Forwarder is paired{reason}", remedy)
    elif pairing.presence_ttl_s is None:
        key = pairing.presence_key
        text = f"Forwarder {pairing.hostname} is paired, but its key {key} is not in Redis"
        remedy = "wait some seconds: if it is lost, health searches for another one"
        yield _warning(AlarmName.FORWARDER_SILENT, text, remedy)


def _images(view: Overview) -> Iterator[Alarm]:
    stalled = [image for image in view.waiting if image.state is ImageState.STALLED]
    if stalled:
        first = stalled[0]
        which = "1 image is stalled"
        if len(stalled) > 1:
            which = f"{len(stalled)} images are stalled; the oldest"
        text = f"{which}: {first.obsid} waits for {first.waiting_on}"
        yield _warning(AlarmName.IMAGES_STALLED, text, f"ccarchiver image {first.obsid}")
    yield from _refused(view)
    if view.missed.count:
        which = "1 exposure is missed:"
        if view.missed.count > 1:
            which = f"{view.missed.count} exposures are missed, the newest is"
        known = KNOWN_OF_MISSED.get(view.missed.newest_by, NOT_ARCHIVED)
        text = f"{which} {view.missed.newest}; {known}"
        yield _warning(AlarmName.IMAGES_MISSED, text, "ccarchiver catchup")
    yield from _scans(view)
    if view.newest_dead_letter_at is None:
        return
    age_s = view.at - view.newest_dead_letter_at
    if age_s < DEAD_LETTER_NEW_S:
        text = f"{view.dead_letters} dead letters, the newest {age_s:.0f} s old"
        if view.newest_dead_letter:
            text = f"{text}, from {view.newest_dead_letter}"
        yield _warning(AlarmName.DEAD_LETTERS, text, "ccarchiver deadletter list")


def _scans(view: Overview) -> Iterator[Alarm]:
    """Yield the alarm of exposures that leave no time for a scan."""
    since = view.scan.postponed_since
    if not since or view.pairing is None or not view.pairing.hostname:
        return
    text = (
        f"no scan since {utc_text(since)}: exposures follow each other without a pause; a missed "
        "exposure is found only if its number is missing between two others"
    )
    remedy = "none is needed: the scan follows in the first pause; it takes some seconds"
    yield _warning(AlarmName.SCANS_POSTPONED, text, remedy)


def _refused(view: Overview) -> Iterator[Alarm]:
    """Yield the alarm of exposures whose name was used before; they are not archived."""
    if not view.refused:
        return
    newest = view.refused[-1]
    text = (
        f"image name {newest.obsid} of {utc_text(newest.first_at)} was used again at "
        f"{utc_text(newest.exposure.refused_at)}: the second exposure is not archived"
    )
    if len(view.refused) > 1:
        text += f"; {len(view.refused)} such exposures in the last hour"
    remedy = f"correct the camera's numbering; ccarchiver image {newest.obsid}"
    yield _critical(AlarmName.OBSID_REUSED, text, remedy)


def _records(view: Overview) -> Iterator[Alarm]:
    if not view.unreadable:
        return
    first = view.unreadable[0]
    which = "1 record in Redis"
    if len(view.unreadable) > 1:
        which = f"{len(view.unreadable)} records in Redis"
    text = f"{which} cannot be read: {first.text}"
    yield _warning(
        AlarmName.RECORDS_UNREADABLE, text, "ccarchiver doctor; ccarchiver deadletter list"
    )


def _redis(view: Overview) -> Iterator[Alarm]:
    if view.redis.write_rejection:
        text = f"Redis at {view.redis.address} rejects writes: {view.redis.write_rejection}"
        remedy = "ccarchiver doctor; df -h; the workers wait meanwhile"
        yield _critical(AlarmName.REDIS_READ_ONLY, text, remedy)
    elif not view.redis.is_durable:
        text = f"Redis at {view.redis.address} is {view.redis.durability}"
        remedy = (
            "redis-cli config set appendonly yes, also in redis.conf; "
            "deploy/redis.conf has all settings"
        )
        yield _warning(AlarmName.REDIS_NOT_DURABLE, text, remedy)
