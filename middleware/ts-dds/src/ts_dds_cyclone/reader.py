"""Data readers."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ts_dds_cyclone import incompatibility, native
from ts_dds_cyclone.cdr import HEADER
from ts_dds_cyclone.conditions import QueryCondition, ReadCondition
from ts_dds_cyclone.cyclone_qos import EntityKind
from ts_dds_cyclone.entities import Entity, Subscriber, Topic
from ts_dds_cyclone.errors import BAD_PARAMETER, DDSException, checked
from ts_dds_cyclone.history import (
    LATE_AT_MOST,
    LATE_QUIET,
    DuplicateFilter,
    LateHistory,
    note_missing_history,
    settle,
)
from ts_dds_cyclone.kinds import NANOSECONDS, DDSDuration, DDSStateKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ts_dds_cyclone.qos import Qos
    from ts_dds_cyclone.topic_class import TopicDataClass

__all__ = ["DataReader", "SampleInfo"]

_log = logging.getLogger("dds")


class SampleInfo:
    """Metadata of a sample. Times are UTC in nanoseconds since 1970."""

    __slots__ = (
        "instance_handle",
        "instance_state",
        "publication_handle",
        "reception_timestamp",
        "sample_state",
        "source_timestamp",
        "valid_data",
        "view_state",
    )

    def __init__(self, info: Any, reception_timestamp: int) -> None:  # noqa: ANN401 (cyclonedds' sample info)
        self.valid_data = True
        self.sample_state: int = info.sample_state
        self.view_state: int = info.view_state
        self.instance_state: int = info.instance_state
        self.source_timestamp: int = info.source_timestamp
        self.reception_timestamp = reception_timestamp
        self.instance_handle: int = info.instance_handle
        self.publication_handle: int = info.publication_handle


class _Sample(NamedTuple):
    """A sample: its data and its info."""

    data: TopicDataClass
    info: SampleInfo


class _Harvest:
    """Samples collected for one call of `DataReader.take_cond`."""

    def __init__(self) -> None:
        self.live: list[_Sample] = []
        self.late: dict[tuple[int, int], _Sample] = {}

    def all(self) -> list[_Sample]:
        late = sorted(self.late.values(), key=lambda sample: sample.info.source_timestamp)
        return late + self.live


class DataReader(Entity):
    """Reader of samples of one topic."""

    def __init__(
        self, subscriber: Subscriber, topic: Topic, qos: Qos | None = None, listener: None = None
    ) -> None:
        del listener
        self._subscriber = subscriber  # a child keeps its parent alive
        self.participant = subscriber.participant
        self.support = topic.support
        self.durable = qos is not None and qos.is_durable
        self._name = topic.name
        self._settled = False
        self._history_is_over = False
        self._bad_samples = 0
        self._duplicates = DuplicateFilter()
        self._late_history = LateHistory()
        c_qos = None if qos is None else qos.c_object(EntityKind.READER)
        handle = native.create_reader(subscriber.handle, topic.handle, c_qos, None)
        self._handle = checked(handle, f"create a reader of {topic.name}")
        subscriber.readers.add(self)
        self.participant.adopt(self)
        incompatibility.watch(
            self, topic.name, self.participant, subscriber.partitions, is_reader=True
        )

    def create_readcondition(self, masks: Iterable[DDSStateKind]) -> ReadCondition:
        """Return a condition that is met when there are samples in these states."""
        return ReadCondition(self, masks)

    def create_querycondition(
        self, masks: Iterable[DDSStateKind], expression: str = "", parameters: Sequence[str] = ()
    ) -> QueryCondition:
        """Return a condition for samples in these states that satisfy an expression."""
        return QueryCondition(self, masks, expression, parameters)

    def wait_for_historical_data(self, timeout: DDSDuration | None = None) -> bool:
        """Wait until the history of the topic's writers has arrived.

        The first durable reader of a subscriber waits for all of its durable readers.

        Returns
        -------
        complete
            False after the timeout.
        """
        limit = float("inf") if timeout is None else time.monotonic() + timeout.value / NANOSECONDS
        self.require_open()
        if not self.durable or self._settled:
            return True
        readers = [r for r in self._subscriber.readers if r.durable and r.is_open]
        if not settle(readers, self.participant.created, limit):
            return False
        for reader in readers:
            reader.note_settled()
        incompatibility.check(now=True)
        note_missing_history()
        return True

    def note_settled(self) -> None:
        """Record that the history of this reader has been waited for."""
        self._settled = True

    def end_history(self) -> None:
        """Record that the caller now waits for live samples: earlier samples are history."""
        self._history_is_over = self._settled

    def take_cond(self, condition: ReadCondition, n: int = 1) -> list[_Sample]:
        """Take up to ``n`` samples that meet a condition made by this reader.

        A sample that cannot be decoded is logged and omitted, because an exception would end
        salobj's reading of every topic. Of history that arrives after `wait_for_historical_data`,
        only the newest sample of each instance and writer is returned, because a caller would
        process the others as a burst of live samples.

        Raises
        ------
        DDSException
            If the reader is closed or the condition is not a read condition.
        """
        if not isinstance(condition, ReadCondition):
            message = f"{condition!r} is not a dds.ReadCondition or dds.QueryCondition"
            raise DDSException(message, BAD_PARAMETER)
        self.require_open()
        harvest = _Harvest()
        late = self._take_into(harvest, condition, n)
        give_up = time.monotonic() + LATE_AT_MOST
        while late and time.monotonic() < give_up:
            time.sleep(LATE_QUIET)
            late = self._take_into(harvest, condition, n)
        return harvest.all()

    def _take_into(self, harvest: _Harvest, condition: ReadCondition, n: int) -> int:
        """Take available samples, up to ``n`` live ones in all; return the number of late ones."""
        late = 0
        while len(harvest.live) < n:
            wanted = n - len(harvest.live)
            handle = self._handle
            if handle is None:
                break  # closed in another thread, which is not an error here
            taken = native.take(handle, condition.mask, wanted)
            if isinstance(taken, int):
                if self.is_open:
                    checked(taken, f"take samples of {self._name}")
                break
            now = time.time_ns()
            # A sample without valid data only means that a writer has left.
            late += sum(
                self._sort(harvest, condition, sample, SampleInfo(info, now))
                for sample, info in taken
                if info.valid_data
            )
            if len(taken) < wanted:
                break
        return late

    def _sort(
        self, harvest: _Harvest, condition: ReadCondition, sample: bytes, info: SampleInfo
    ) -> bool:
        """Add an accepted sample to the live or late ones; return whether it is late history."""
        if self.durable and not self._duplicates.is_new(info.source_timestamp, sample):
            return False
        data = self._accept(sample, condition)
        if data is None:
            return False
        if self._history_is_over and self._late_history.is_late(
            info.source_timestamp, info.publication_handle
        ):
            harvest.late[info.instance_handle, info.publication_handle] = _Sample(data, info)
            return True
        harvest.live.append(_Sample(data, info))
        return False

    def _accept(self, sample: bytes, condition: ReadCondition) -> TopicDataClass | None:
        """Return the data of a sample that the condition accepts, None for any other."""
        query = condition.query
        try:
            if query.accepts_bytes is not None and not query.accepts_bytes(sample):
                return None
            if sample[:2] != HEADER[:2]:
                message = f"data representation {sample[:2].hex()} is not the plain CDR of ours"
                raise ValueError(message)  # noqa: TRY301 (handled with all other decoding errors)
            data = self.support.decode(sample)
        except Exception as e:  # noqa: BLE001 (one bad sample must not stop the others)
            self._report_bad(e)
            return None
        if query.accepts_data is not None and not query.accepts_data(data):
            return None
        return data

    def _report_bad(self, error: Exception) -> None:
        """Log the 1st, 2nd, 4th, 8th ... bad sample, so that many of them do not fill the disk."""
        self._bad_samples += 1
        if self._bad_samples & (self._bad_samples - 1) == 0:
            _log.error(
                "%s: left out a sample that cannot be decoded (%d so far): %r; "
                "its writer was probably built from another version of the IDL",
                self._name,
                self._bad_samples,
                error,
            )
