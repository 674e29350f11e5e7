"""File statuses on their way out: one SAL event each, in the order they came, none twice."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import deadletter, keys, killpoint, ledger, statuses
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.mail import FileStatus, StatusTopic
from ccarchiver_core.redis_client import patiently
from ccarchiver_core.step import Step, unix_time
from ccarchiver_sal import completion

if TYPE_CHECKING:
    from ccarchiver_core.worker import WorkerContext
    from ccarchiver_sal.adapter import TypedCsc

UNDEFINED = "undef"
"""What SAL gets for a raft or sensor that is missing or empty."""

CACHE = 500
"""Images whose record is kept in memory; only this worker writes the fields that are compared."""

_log = structlog.get_logger(__name__)


class _Record:
    """The statuses of one image as they were last reported, and which CCDs are good."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.known = bool(fields)
        self._last = {name: statuses.content(value) for name, value in fields.items() if statuses.is_status(name)}
        self._good = {topic: statuses.good_ccds(fields, topic) for topic in StatusTopic}

    def has(self, status: FileStatus) -> bool:
        """Tell whether this is what was last reported for its file."""
        return self._last.get(statuses.field_of(status)) == statuses.content_of(status)

    def note(self, status: FileStatus) -> None:
        """Take in a status that has been reported."""
        self.known = True
        self._last[statuses.field_of(status)] = statuses.content_of(status)
        good = self._good[status.topic]
        (good.add if status.status_code == 0 else good.discard)(statuses.ccd_of(status))

    def count(self, topic: StatusTopic) -> int:
        """Count the CCDs that are good under a topic."""
        return len(self._good[topic])


class Reports:
    """Puts status events and records them.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, steps, settings.
    csc : `TypedCsc`
        Puts the events.
    """

    def __init__(self, context: WorkerContext, csc: TypedCsc) -> None:
        self._context = context
        self._csc = csc
        self._records: collections.OrderedDict[str, _Record] = collections.OrderedDict()

    async def report(self, status: FileStatus, entry_id: str) -> None:
        """Put one status as an event, unless it is what was last reported for that file.

        Notes
        -----
        The event is put before the record is written: a crash in between, one instruction wide, repeats the
        event after the restart. The other order would lose it.
        """
        record = await self._record(status.obsid)
        step = Step().settle(keys.Worker.SAL, entry_id)
        if record.has(status):
            step.count(f"statuses_repeated:{status.topic}")
            _log.info("status.repeated", **_log_keys(status))
            await self._context.runner.apply(step)
            return
        killpoint.reach(f"sal.before_{status.topic}")
        try:
            self._csc.put_event(status.topic, event_fields(status))
        except ValueError as error:
            reason = f"SAL refuses the event: {error}"
            _log.error("status.dead_lettered", **_log_keys(status), reason=reason)
            raw = status.model_dump_json().encode()
            deadletter.add(
                step, self._context.settings, origin=keys.Worker.SAL.mailbox, reason=reason, raw=raw, obsid=status.obsid
            )
            await self._context.runner.apply(step)
            return
        killpoint.reach(f"sal.after_{status.topic}")
        if not record.known:
            ledger.record_outsider(step, status.obsid, ImageState.FOREIGN)
        record.note(status)
        self._write(step, status, record)
        if status.status_code == 0:
            await self._finish_if_complete(step, status.obsid, record)
        await self._context.runner.apply(step)
        log = _log.debug if status.status_code == 0 else _log.warning  # good ones are in the ledger
        log("status.reported", **_log_keys(status), status_code=status.status_code, description=status.description)

    @staticmethod
    def _write(step: Step, status: FileStatus, record: _Record) -> None:
        now, done = unix_time(), statuses.DONE[status.topic]
        fields: dict[str, str | bytes | int | float] = {
            statuses.field_of(status): statuses.value_of(status, now),
            done: record.count(status.topic),
        }
        if status.status_code == 0:
            fields[f"{ledger.AT_PREFIX}{done}"] = now
        else:
            step.count(f"failures:{status.topic}")
        step.set_fields(keys.image(status.obsid), fields)
        step.count(f"events:{status.topic}")

    async def _finish_if_complete(self, step: Step, obsid: str, record: _Record) -> None:
        expected = self._context.settings.files_per_image
        if any(record.count(topic) < expected for topic in StatusTopic):
            return
        fresh = await patiently(lambda: ledger.read_record(self._context.redis, obsid))
        if fresh.get("state") in (ImageState.ACCEPTED, ImageState.STALLED):
            ledger.finish(step, obsid, ImageState.COMPLETE)
            completion.measure(step, fresh, unix_time())
            _log.info("image.complete", image=obsid, job=int(fresh.get("job", 0)))

    async def _record(self, obsid: str) -> _Record:
        record = self._records.get(obsid)
        if record is None:
            record = _Record(await patiently(lambda: ledger.read_record(self._context.redis, obsid)))
            self._records[obsid] = record
            while len(self._records) > CACHE:
                self._records.popitem(last=False)
        return record


def _log_keys(status: FileStatus) -> dict[str, str]:
    """Keys by which a log line about a status is found."""
    return {"image": status.obsid, "topic": status.topic, "raft": status.raft, "sensor": status.sensor}


def event_fields(status: FileStatus) -> dict[str, str | int]:
    """Fields of the SAL event for a status; both topics have the same ones."""
    return {
        "camera": status.camera,
        "obsid": status.obsid,
        "raft": status.raft or UNDEFINED,
        "sensor": status.sensor or UNDEFINED,
        "archiverName": status.archiver,
        "statusCode": status.status_code,
        "description": status.description,
    }
