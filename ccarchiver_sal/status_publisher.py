"""Publish file statuses: one SAL event each, in the sequence of arrival, without duplicates."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import completion_metrics
from ccarchiver_sal.event_texts import UNDEFINED
from ccarchiver_sal.recent_puts import RecentPuts

if TYPE_CHECKING:
    import asyncio

    from ccarchiver_core.domain.image_record import ImageRecord
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.transaction import Outcome
    from ccarchiver_sal.adapter import TypedCsc

CACHE = 500
"""Images whose record is cached. Only this worker writes the fields that are compared."""

_log = structlog.get_logger(__name__)


class _Published:
    """The last published statuses of one image, and its CCDs with success."""

    def __init__(self, record: ImageRecord | None) -> None:
        self.is_known = record is not None
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
        self._in_flight: list[tuple[FileStatus, str, asyncio.Future[Outcome]]] = []
        self._recent_puts = RecentPuts(context.settings.log_dir)

    def open(self) -> None:
        """Read which events earlier processes have put; call it when the lease is held."""
        self._recent_puts.open()

    def close(self) -> None:
        """Close the file of recent puts. Safe to repeat."""
        self._recent_puts.close()

    async def publish(self, status: FileStatus, entry_id: str) -> None:
        """Publish one status as an event, unless it equals the last published one of its file.

        Its record is submitted when this returns, and applied when `drain` returns.

        Notes
        -----
        The event is published before the record is written; in the opposite sequence it would be
        lost. `RecentPuts` has the events whose records a crash of this worker and Redis has lost.
        So only an event that is published, but not yet among them, is published again.
        """
        published = await self._published_of(status.obsid)
        transaction = Transaction().ack(keys.Worker.SAL, entry_id)
        if published.has(status):
            transaction.count(f"duplicate_statuses:{status.topic}")
            await self._submit(transaction, status, entry_id)
            _log.info("status.duplicated", **_log_keys(status))
            return
        # All queries happen before the event: nothing waits between the event and its record.
        last = await self._if_last(status, published)
        await self._context.transactions.wait_until_safe()
        try:
            await self._put(status, entry_id)
        except ValueError as error:
            reason = f"SAL rejects the event: {error}"
            self._dead_letter(transaction, status, reason)
            await self._submit(transaction, status, entry_id)
            _log.error(
                "status.dead_lettered",
                effect="the status is not published",
                **_log_keys(status),
                reason=reason,
            )
            return
        if not published.is_known:
            ImageLedger.create_unaccepted(transaction, status.obsid, ImageState.UNANNOUNCED)
        published.add(status)
        self._write(transaction, status, published)
        if last is not None:
            ImageLedger.finish(transaction, status.obsid, ImageState.COMPLETE)
            if last.state is ImageState.MISSED:
                ImageLedger.end_missed(transaction, status.obsid)
            completion_metrics.measure(transaction, last, unix_time())
        await self._submit(transaction, status, entry_id)
        log = _log.debug if status.status_code == 0 else _log.warning  # good ones are in the ledger
        log(
            "status.published",
            **_log_keys(status),
            status_code=status.status_code,
            description=status.description,
        )
        if last is not None:
            _log.info("image.completed", image=status.obsid, job=last.job)

    async def drain(self) -> None:
        """Wait until all published statuses are recorded.

        A status that Redis cannot record becomes a dead letter.

        Raises
        ------
        CcArchiverError
            If this worker must stop.
        """
        in_flight, self._in_flight = self._in_flight, []
        for status, entry_id, outcome in in_flight:
            try:
                await outcome
            except CcArchiverError:
                raise
            except Exception as error:  # noqa: BLE001  a defect must not block later statuses
                reason = f"a defect of the archiver: {type(error).__name__}: {error}"
                _log.error(
                    "status.dead_lettered",
                    effect="the status is not published",
                    **_log_keys(status),
                    reason=reason,
                )
                transaction = Transaction().ack(keys.Worker.SAL, entry_id)
                self._dead_letter(transaction, status, reason)
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

    async def _submit(self, transaction: Transaction, status: FileStatus, entry_id: str) -> None:
        outcome = await self._context.transactions.submit(transaction)
        self._in_flight.append((status, entry_id, outcome))

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

    @staticmethod
    def _write(transaction: Transaction, status: FileStatus, published: _Published) -> None:
        ImageLedger.record_status(transaction, status, unix_time(), published.count(status.topic))
        if status.status_code != 0:
            transaction.count(f"failures:{status.topic}")
        transaction.count(f"events:{status.topic}")

    async def _if_last(self, status: FileStatus, published: _Published) -> ImageRecord | None:
        """Return the record of the image that this status completes; None if it completes none."""
        if not published.completes(status, self._context.settings.files_per_image):
            return None
        await self.drain()  # so that the record contains the statuses just published
        record = await self._read(status.obsid)
        if record is None:
            return None
        # Another archiver, or an operator by hand, can complete an image that was missed here.
        return record if record.is_open or record.state is ImageState.MISSED else None

    async def _read(self, obsid: str) -> ImageRecord | None:
        return await retry_until_available(lambda: ImageLedger(self._context.redis).read(obsid))

    async def _published_of(self, obsid: str) -> _Published:
        published = self._images.get(obsid)
        if published is None:
            published = self._images[obsid] = _Published(await self._read(obsid))
            while len(self._images) > CACHE:
                self._images.popitem(last=False)
        # Far fewer transactions are in flight than images are cached. So an image whose record is
        # read again has no transaction in flight.
        self._images.move_to_end(obsid)
        return published


def _log_keys(status: FileStatus) -> dict[str, str]:
    """Return the log keys of a status."""
    return {
        "image": status.obsid,
        "topic": status.topic,
        "raft": status.raft,
        "sensor": status.sensor,
    }


def event_fields(status: FileStatus) -> dict[str, str | int]:
    """Return the fields of the SAL event for a status. Both topics have the same fields."""
    return {
        "camera": status.camera,
        "obsid": status.obsid,
        "raft": status.raft or UNDEFINED,
        "sensor": status.sensor or UNDEFINED,
        "archiverName": status.archiver,
        "statusCode": status.status_code,
        "description": status.description,
    }
