"""File statuses on their way out: one SAL event each, in the order they came, none twice."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic
from ccarchiver_core.redis.client import retry_until_available
from ccarchiver_core.store import dead_letters, file_status_fields, ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import completion_metrics

if TYPE_CHECKING:
    import asyncio

    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.transaction import Outcome
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
        self._last = {
            name: file_status_fields.content(value)
            for name, value in fields.items()
            if file_status_fields.is_status(name)
        }
        self._good = {topic: file_status_fields.good_ccds(fields, topic) for topic in StatusTopic}

    def has(self, status: FileStatus) -> bool:
        """Tell whether this is what was last reported for its file."""
        return self._last.get(file_status_fields.field_of(status)) == file_status_fields.content_of(status)

    def note(self, status: FileStatus) -> None:
        """Take in a status that has been reported."""
        self.known = True
        self._last[file_status_fields.field_of(status)] = file_status_fields.content_of(status)
        good = self._good[status.topic]
        (good.add if status.status_code == 0 else good.discard)(file_status_fields.ccd_of(status))

    def count(self, topic: StatusTopic) -> int:
        """Count the CCDs that are good under a topic."""
        return len(self._good[topic])

    def completes(self, status: FileStatus, expected: int) -> bool:
        """Tell whether with this status as many CCDs are good under every topic as an image has."""
        return status.status_code == 0 and all(
            len(good | {file_status_fields.ccd_of(status)} if topic is status.topic else good) >= expected
            for topic, good in self._good.items()
        )


class StatusPublisher:
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
        self._under_way: list[tuple[FileStatus, str, asyncio.Future[Outcome]]] = []

    async def publish(self, status: FileStatus, entry_id: str) -> None:
        """Put one status as an event, unless it is what was last reported for that file.

        Its record is on its way when this returns, and there when `settled` returns.

        Notes
        -----
        The event is put before the record is written: a crash in between, or just after it (decision 7), repeats the
        event after the restart. The other order would lose it.
        """
        record = await self._record(status.obsid)
        transaction = Transaction().ack(keys.Worker.SAL, entry_id)
        if record.has(status):
            transaction.count(f"duplicate_statuses:{status.topic}")
            await self._submit(transaction, status, entry_id)
            _log.info("status.duplicated", **_log_keys(status))
            return
        # Whatever has to be asked is asked before: between the event and its record nothing waits.
        last = await self._if_last(status, record)
        await self._context.transactions.wait_until_safe()
        failpoint.hit(f"sal.before_{status.topic}")
        try:
            self._csc.put_event(status.topic, event_fields(status))
        except ValueError as error:
            reason = f"SAL refuses the event: {error}"
            self._dead_letter(transaction, status, reason)
            await self._submit(transaction, status, entry_id)
            _log.error("status.dead_lettered", **_log_keys(status), reason=reason)
            return
        failpoint.hit(f"sal.after_{status.topic}")
        if not record.known:
            ledger.create_unaccepted(transaction, status.obsid, ImageState.UNANNOUNCED)
        record.note(status)
        self._write(transaction, status, record)
        if last is not None:
            ledger.finish(transaction, status.obsid, ImageState.COMPLETE)
            completion_metrics.measure(transaction, last, unix_time())
        await self._submit(transaction, status, entry_id)
        log = _log.debug if status.status_code == 0 else _log.warning  # good ones are in the ledger
        log("status.published", **_log_keys(status), status_code=status.status_code, description=status.description)
        if last is not None:
            _log.info("image.completed", image=status.obsid, job=int(last.get("job", 0)))

    async def drain(self) -> None:
        """Wait until all that was reported is recorded; what Redis cannot record becomes a dead letter.

        Raises
        ------
        CcArchiverError
            If this worker must stop.
        """
        under_way, self._under_way = self._under_way, []
        for status, entry_id, outcome in under_way:
            try:
                await outcome
            except CcArchiverError:
                raise
            except Exception as error:  # noqa: BLE001  a defect of ours must not stop the statuses behind this one
                reason = f"a defect of the archiver: {type(error).__name__}: {error}"
                _log.error("status.dead_lettered", **_log_keys(status), reason=reason)
                transaction = Transaction().ack(keys.Worker.SAL, entry_id)
                self._dead_letter(transaction, status, reason)
                await self._context.transactions.apply(transaction)

    async def _submit(self, transaction: Transaction, status: FileStatus, entry_id: str) -> None:
        self._under_way.append((status, entry_id, await self._context.transactions.submit(transaction)))

    def _dead_letter(self, transaction: Transaction, status: FileStatus, reason: str) -> None:
        raw = status.model_dump_json().encode()
        origin = keys.Worker.SAL.mailbox
        dead_letters.add(transaction, self._context.settings, origin=origin, reason=reason, raw=raw, obsid=status.obsid)

    @staticmethod
    def _write(transaction: Transaction, status: FileStatus, record: _Record) -> None:
        now, done = unix_time(), file_status_fields.DONE[status.topic]
        fields: dict[str, str | bytes | int | float] = {
            file_status_fields.field_of(status): file_status_fields.value_of(status, now),
            done: record.count(status.topic),
        }
        if status.status_code == 0:
            fields[f"{ledger.AT_PREFIX}{done}"] = now
        else:
            transaction.count(f"failures:{status.topic}")
        transaction.set_fields(keys.image(status.obsid), fields)
        transaction.count(f"events:{status.topic}")

    async def _if_last(self, status: FileStatus, record: _Record) -> dict[str, str] | None:
        """Read the ledger's record of an image that a status completes; None if it does not."""
        if not record.completes(status, self._context.settings.files_per_image):
            return None
        await self.drain()  # else the record would not have what was reported just now
        fresh = await retry_until_available(lambda: ledger.read_record(self._context.redis, status.obsid))
        return fresh if fresh.get("state") in (ImageState.ACCEPTED, ImageState.STALLED) else None

    async def _record(self, obsid: str) -> _Record:
        record = self._records.get(obsid)
        if record is None:
            record = _Record(await retry_until_available(lambda: ledger.read_record(self._context.redis, obsid)))
            self._records[obsid] = record
            while len(self._records) > CACHE:
                self._records.popitem(last=False)
        # Far fewer are under way than are kept: what is read anew has nothing under way.
        self._records.move_to_end(obsid)
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
