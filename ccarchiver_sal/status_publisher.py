"""Publish file statuses: one SAL event each, in the sequence of arrival, without duplicates.

The statuses that arrive together share a transaction.
"""

from __future__ import annotations

import asyncio
import collections
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.log.deferred_log import DeferredLog
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import completion_metrics
from ccarchiver_sal.event_texts import UNDEFINED
from ccarchiver_sal.recent_puts import RecentPuts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ccarchiver_core.domain.image_record import ImageRecord
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.transaction import Outcome
    from ccarchiver_sal.adapter import TypedCsc

CACHE = 500
"""Images whose record is cached. Only this worker writes the fields that are compared."""

BATCH = 32
"""Maximum number of statuses in one transaction.

Its size is then about `MAX_INFLIGHT_BYTES`, and `RecentPuts` has slots for several.
"""

_log = structlog.get_logger(__name__)


class _Published:
    """The last published statuses of one image, and its CCDs with success.

    Parameters
    ----------
    record : `ImageRecord` or None
        The record of the image; None without one.
    max_age_s : `float`
        CATCH_UP_EVENTS_MAX_AGE.
    """

    def __init__(self, record: ImageRecord | None, max_age_s: float) -> None:
        self.is_known = record is not None
        self.is_without_events = record is not None and 0 < max_age_s < record.caught_up_after_s
        """Whether its statuses are recorded, but cause no events."""
        statuses = [] if record is None else record.statuses
        self._last = {status.key: status.content for status in statuses}
        self._good = {
            topic: set() if record is None else record.good_ccds(topic) for topic in StatusTopic
        }

    def has(self, status: FileStatus) -> bool:
        """Return whether this status equals the last published one of its file."""
        return self._last.get(status.key) == status.content

    def add(self, status: FileStatus) -> None:
        """Add a status that has been published."""
        self.is_known = True
        self._last[status.key] = status.content
        good = self._good[status.topic]
        (good.add if status.status_code == 0 else good.discard)(status.ccd)

    def count(self, topic: StatusTopic) -> int:
        """Return the number of CCDs with success under a topic."""
        return len(self._good[topic])

    def completes(self, status: FileStatus, expected: int) -> bool:
        """Return whether this status completes the image.

        An image is complete if all its expected CCDs have success under each topic.
        """
        return status.status_code == 0 and all(
            len(good | {status.ccd} if topic is status.topic else good) >= expected
            for topic, good in self._good.items()
        )


@dataclass(frozen=True)
class _Part:
    """What one status adds to a transaction, besides the ack of its mailbox entry."""

    status: FileStatus
    entry_id: str
    write: Callable[[Transaction], object]

    def add_to(self, transaction: Transaction) -> None:
        """Add the writes and the ack."""
        self.write(transaction)
        transaction.ack(keys.Worker.SAL, self.entry_id)


@dataclass
class _Batch:
    """Statuses that share a transaction, and the log lines that are written when it is sent."""

    parts: list[_Part] = field(default_factory=list)
    lines: DeferredLog = field(default_factory=DeferredLog)


class StatusPublisher:
    """Publishes file statuses as SAL events and records them.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    csc : `TypedCsc`
        Publishes the events.
    """

    def __init__(self, context: WorkerContext, csc: TypedCsc) -> None:
        self._context = context
        self._csc = csc
        self._images: collections.OrderedDict[str, _Published] = collections.OrderedDict()
        self._batch = _Batch()
        self._in_flight: list[tuple[list[_Part], asyncio.Future[Outcome]]] = []
        self._recent_puts = RecentPuts(context.settings.log_dir)

    def open(self) -> None:
        """Read which events earlier processes have put; call it when the lease is held."""
        self._recent_puts.open()

    def close(self) -> None:
        """Close the file of recent puts. Safe to repeat."""
        self._recent_puts.close()

    async def prepare(self, statuses: Sequence[FileStatus]) -> None:
        """Read the records that are needed to publish some statuses, all in one round trip.

        Call it when no transaction is in flight, with fewer statuses than `CACHE`.
        """
        unknown = {status.obsid for status in statuses} - self._images.keys()
        if len(unknown) > 1:  # `publish` reads a single one
            ledger, names = ImageLedger(self._context.redis), list(unknown)
            records = await retry_until_available(lambda: ledger.read_many(names))
            for obsid, record in zip(names, records, strict=True):
                self._remember(obsid, record)

    async def publish(self, status: FileStatus, entry_id: str) -> None:
        """Publish one status as an event, unless it equals the last published one of its file.

        A missed image that is archived after CATCH_UP_EVENTS_MAX_AGE causes no events.

        Its record is submitted at the latest by `submit`, and applied when `drain` returns.

        Notes
        -----
        The event is published before the record is written; in the opposite sequence it would be
        lost. `RecentPuts` has the events whose records a crash of this worker and Redis has lost.
        So only an event that is published, but not yet among them, is published again.
        """
        published = await self._published_of(status.obsid)
        lines = self._batch.lines
        if published.has(status):
            lines.add(_log.info, "status.duplicated", **_log_keys(status))
            await self._add(status, entry_id, functools.partial(_count_duplicate, status))
            return
        # All queries happen before the event: nothing waits between the event and its record.
        last = await self._if_last(status, published)
        await self._context.transactions.wait_until_safe()
        lines = self._batch.lines
        try:
            if not published.is_without_events:
                await self._put(status, entry_id)
        except ValueError as error:
            reason = f"SAL rejects the event: {error}"
            lines.add(
                _log.error,
                "status.dead_lettered",
                effect="the status is not published",
                **_log_keys(status),
                reason=reason,
            )
            write = functools.partial(self._dead_letter, status=status, reason=reason)
            await self._add(status, entry_id, write)
            return
        is_known = published.is_known
        published.add(status)
        write = functools.partial(
            _record,
            status=status,
            published_at=unix_time(),
            good_count=published.count(status.topic),
            is_known=is_known,
            has_event=not published.is_without_events,
            last=last,
        )
        lines.add(
            _log.debug if status.status_code == 0 else _log.warning,  # good ones are in the ledger
            "status.recorded" if published.is_without_events else "status.published",
            **_log_keys(status),
            status_code=status.status_code,
            description=status.description,
        )
        if last is not None:
            lines.add(_log.info, "image.completed", image=status.obsid, job=last.job)
        await self._add(status, entry_id, write)

    async def submit(self) -> None:
        """Submit the records of all published statuses."""
        batch, self._batch = self._batch, _Batch()
        if not batch.parts:
            return
        transaction = Transaction()
        for part in batch.parts:
            part.add_to(transaction)
        outcome = await self._context.transactions.submit(transaction)
        self._in_flight.append((batch.parts, outcome))
        batch.lines.flush()

    async def drain(self) -> None:
        """Wait until all published statuses are recorded.

        A status that Redis cannot record becomes a dead letter.

        Raises
        ------
        CcArchiverError
            If this worker must stop.
        """
        await self.submit()
        in_flight, self._in_flight = self._in_flight, []
        for parts, outcome in in_flight:
            try:
                await outcome
            except CcArchiverError:
                raise
            except Exception as error:  # noqa: BLE001  a defect must not block later statuses
                if len(parts) == 1:
                    await self._dead_letter_unrecorded(parts[0], error)
                    continue
                for part in parts:
                    await self._record_alone(part)

    async def _record_alone(self, part: _Part) -> None:
        """Record one status of a batch that Redis cannot record as a whole."""
        transaction = Transaction()
        part.add_to(transaction)
        try:
            await self._context.transactions.apply(transaction)
        except CcArchiverError:
            raise
        except Exception as error:  # noqa: BLE001  a defect must not block later statuses
            await self._dead_letter_unrecorded(part, error)

    async def _dead_letter_unrecorded(self, part: _Part, error: Exception) -> None:
        reason = f"a defect of the archiver: {type(error).__name__}: {error}"
        _log.error(
            "status.dead_lettered",
            effect="the status is not published",
            **_log_keys(part.status),
            reason=reason,
        )
        transaction = Transaction().ack(keys.Worker.SAL, part.entry_id)
        self._dead_letter(transaction, part.status, reason)
        await self._context.transactions.apply(transaction)

    async def _put(self, status: FileStatus, entry_id: str) -> None:
        """Put the event, unless an earlier process did so and its record was lost."""
        if self._recent_puts.has(entry_id, status):
            _log.info("status.already_put", **_log_keys(status))
        else:
            failpoint.hit(f"sal.before_{status.topic}")
            await self._csc.put_event(status.topic, event_fields(status))
            failpoint.hit(f"sal.after_{status.topic}")
        # Also one of an earlier process: its slot must not be overwritten before its record exists.
        self._recent_puts.add(entry_id, status)

    async def _add(
        self, status: FileStatus, entry_id: str, write: Callable[[Transaction], object]
    ) -> None:
        """Add what a status changes to the next transaction, and submit it if it is full.

        Without the file of the newest puts, each status has its own transaction: a crash would
        repeat the events of all whose record is not submitted.
        """
        self._batch.parts.append(_Part(status, entry_id, write))
        if len(self._batch.parts) >= (BATCH if self._recent_puts.is_usable else 1):
            await self.submit()
            await asyncio.sleep(0)  # many statuses must not delay a camera event

    def _dead_letter(self, transaction: Transaction, status: FileStatus, reason: str) -> None:
        raw = status.model_dump_json().encode()
        origin = keys.Worker.SAL.mailbox
        dead_letters.add(
            transaction,
            self._context.settings,
            origin=origin,
            reason=reason,
            raw=raw,
            obsid=status.obsid,
        )

    async def _if_last(self, status: FileStatus, published: _Published) -> ImageRecord | None:
        """Return the record of the image that this status completes; None if it completes none."""
        if not published.completes(status, self._context.settings.files_per_image):
            return None
        await self.drain()  # so that the record contains the statuses just published
        record = await self._read(status.obsid)
        if record is None:
            return None
        # Another archiver, or an operator by hand, can complete an image that was missed here.
        is_missed = record.state in (ImageState.MISSED, ImageState.DISMISSED)
        return record if record.is_open or is_missed else None

    async def _read(self, obsid: str) -> ImageRecord | None:
        return await retry_until_available(lambda: ImageLedger(self._context.redis).read(obsid))

    async def _published_of(self, obsid: str) -> _Published:
        published = self._images.get(obsid)
        if published is None:
            return self._remember(obsid, await self._read(obsid))
        # Far fewer transactions are in flight than images are cached. So an image whose record is
        # read again has no transaction in flight.
        self._images.move_to_end(obsid)
        return published

    def _remember(self, obsid: str, record: ImageRecord | None) -> _Published:
        max_age_s = self._context.settings.catch_up_events_max_age
        published = self._images[obsid] = _Published(record, max_age_s)
        while len(self._images) > CACHE:
            self._images.popitem(last=False)
        return published


def _count_duplicate(status: FileStatus, transaction: Transaction) -> None:
    transaction.count(f"duplicate_statuses:{status.topic}")


def _record(
    transaction: Transaction,
    *,
    status: FileStatus,
    published_at: float,
    good_count: int,
    is_known: bool,
    has_event: bool,
    last: ImageRecord | None,
) -> None:
    """Add the record of a published status to a transaction.

    Parameters
    ----------
    transaction : `Transaction`
        Gets the writes.
    status : `FileStatus`
        The status.
    published_at : `float`
        Unix time, UTC, seconds.
    good_count : `int`
        Number of CCDs with success under the status' topic, including this one.
    is_known : `bool`
        Whether the ledger has a record of the image.
    has_event : `bool`
        Whether an event was published.
    last : `ImageRecord` or None
        The record of the image before this status, if it completes the image.
    """
    if not is_known:
        ImageLedger.create_unaccepted(transaction, status.obsid, ImageState.UNANNOUNCED)
    ImageLedger.record_status(transaction, status, published_at, good_count)
    if status.status_code != 0:
        transaction.count(f"failures:{status.topic}")
    if has_event:
        transaction.count(f"events:{status.topic}")
    if last is not None:
        ImageLedger.finish(transaction, status.obsid, ImageState.COMPLETE)
        if last.state is ImageState.MISSED:
            ImageLedger.end_missed(transaction, status.obsid)
        completion_metrics.measure(transaction, last, published_at)


def _log_keys(status: FileStatus) -> dict[str, str]:
    """Return the log keys of a status."""
    return {
        "image": status.obsid,
        "topic": status.topic,
        "raft": status.raft,
        "sensor": status.sensor,
    }


def event_fields(status: FileStatus) -> dict[str, str | int]:
    """Return the fields of the SAL event for a status. Both topics have the same fields.

    Those that usually differ from the last event are the first ones: salobj compares the fields in
    this sequence until it finds a difference.
    """
    return {
        "obsid": status.obsid,
        "raft": status.raft or UNDEFINED,
        "sensor": status.sensor or UNDEFINED,
        "camera": status.camera,
        "archiverName": status.archiver,
        "statusCode": status.status_code,
        "description": status.description,
    }
