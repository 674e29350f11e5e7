"""Conditions that a wait set waits for."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from typing_extensions import override

from ts_dds_cyclone import native
from ts_dds_cyclone.entities import Entity
from ts_dds_cyclone.errors import checked
from ts_dds_cyclone.kinds import DDSStateKind
from ts_dds_cyclone.query import Query, compile_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ts_dds_cyclone.jobs import ReadingJobs
    from ts_dds_cyclone.reader import DataReader

__all__ = ["Condition", "GuardCondition", "QueryCondition", "ReadCondition"]


class Condition(Entity):
    """Base of the conditions; a condition is either met or not met."""

    def triggered(self) -> bool:
        """Return whether the condition is met; False after it is closed."""
        handle = self._handle
        return handle is not None and native.triggered(handle) > 0

    def about_to_wait(self) -> None:
        """Record that a thread begins to wait for this condition."""

    def attached(self, jobs: ReadingJobs) -> None:
        """Record that this condition is now part of a wait set with these jobs."""

    def detached(self, jobs: ReadingJobs) -> None:
        """Record that this condition is no longer part of a wait set."""


class GuardCondition(Condition):
    """A condition that the program sets. It belongs to no participant."""

    def __init__(self) -> None:
        self._jobs: weakref.WeakSet[ReadingJobs] = weakref.WeakSet()
        handle = native.create_guard_condition(native.LIBRARY)
        self._handle = checked(handle, "create a guard condition")

    def trigger(self) -> None:
        """Set the condition and wait until the jobs that wait for it have ended.

        It does nothing if the condition is closed.
        """
        # A job may continue and wait again before this thread checks it.
        last_waits = {jobs: jobs.last_waits() for jobs in list(self._jobs)}
        self._set(value=True)
        for jobs, before in last_waits.items():
            jobs.wait_until_ended(before)

    def reset(self) -> None:
        """Clear the condition."""
        self._set(value=False)

    @override
    def attached(self, jobs: ReadingJobs) -> None:
        self._jobs.add(jobs)

    @override
    def detached(self, jobs: ReadingJobs) -> None:
        self._jobs.discard(jobs)

    def _set(self, *, value: bool) -> None:
        handle = self._handle
        if handle is not None:
            native.set_guard_condition(handle, value)


def _state_mask(masks: Iterable[DDSStateKind]) -> int:
    """Return the bits of some states; a kind without a named state means any state of it."""
    bits = 0
    for mask in masks:
        bits |= mask.value
    for kind in (
        DDSStateKind.ANY_SAMPLE_STATE,
        DDSStateKind.ANY_VIEW_STATE,
        DDSStateKind.ANY_INSTANCE_STATE,
    ):
        if not bits & kind.value:
            bits |= kind.value
    return bits


class ReadCondition(Condition):
    """Condition that is met when a reader has samples in some states.

    Attributes
    ----------
    mask
        The states, as Cyclone's bits.
    query
        Query that the samples must satisfy; empty for this class.
    """

    def __init__(self, reader: DataReader, masks: Iterable[DDSStateKind]) -> None:
        self._reader = reader
        self.mask = _state_mask(masks)
        self.query = Query(None, None)
        handle = native.create_read_condition(reader.handle, self.mask)
        self._handle = checked(handle, "create a read condition")
        reader.participant.adopt(self)

    @override
    def about_to_wait(self) -> None:
        """Notify the reader that history has been read."""
        self._reader.end_history()


class QueryCondition(ReadCondition):
    """Read condition with a query; `DataReader.take_cond` returns the samples that satisfy it.

    A reader must have only one condition, because taking samples for one removes them for others.
    """

    def __init__(
        self,
        reader: DataReader,
        masks: Iterable[DDSStateKind],
        expression: str = "",
        parameters: Sequence[str] = (),
    ) -> None:
        query = compile_query(expression, parameters, reader.support.type)
        super().__init__(reader, masks)
        self.query = query
