"""The oracle: decides for each exposure whether it was delivered completely.

It uses only the events that were put on SAL and the results. It reads neither the archiver's ledger
nor its logs.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ccarchiver_sim.faults.sal_source import TOPICS
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED

STATUS_TOPICS = (RETRIEVED, INGESTED)
SAME = ("camera", "obsid", "raft", "sensor", "archiverName", "statusCode", "description")
"""Fields by which duplicates are found: two status events in which all of them are equal."""

ON_THE_WAY_S = 0.5
"""Seconds on an idle machine. An event that was put this long before the CSC published another
state than ENABLED may have reached the CSC in time or too late."""

Sensor = tuple[str, str]
FilesMissing = Callable[[str], int]
"""Function that counts the files of an image that are missing in the staging trees."""


@dataclass
class Put:
    """The first time an event of the camera or the header service was put."""

    at: float
    enabled: bool
    """Whether ENABLED was the last summary state that the CSC had published."""


@dataclass
class Trace:
    """Events and results of one image; times are of the monotonic clock."""

    obsid: str
    run: int
    """Number of the scenario run in which its first event was put."""
    puts: dict[str, Put] = field(default_factory=dict)
    good: dict[str, dict[Sensor, float]] = field(
        default_factory=lambda: {topic: {} for topic in STATUS_TOPICS}
    )
    """For each status topic, the CCDs with a good event, and the time of the first one."""
    is_dead_lettered: bool = False
    """Whether it is among the dead letters, in a scenario in which that is correct."""
    droppable: set[str] = field(default_factory=set)
    """Status topics whose messages RabbitMQ may have dropped together with their queue."""
    published: Counter[tuple[object, ...]] = field(default_factory=Counter)

    @property
    def is_accepted(self) -> bool:
        """Whether all its events were put while ENABLED, so that it must be delivered."""
        return all(topic in self.puts and self.puts[topic].enabled for topic in TOPICS)

    @property
    def is_taken(self) -> bool:
        """Whether all its events were put, so that the camera has its pixels and its header."""
        return self.puts.keys() >= set(TOPICS)

    @property
    def last_put(self) -> float:
        """Time at which the last of its events was put."""
        return max(put.at for put in self.puts.values())

    @property
    def first_put(self) -> float:
        """Time at which the first of its events was put."""
        return min(put.at for put in self.puts.values())

    @property
    def duplicates(self) -> int:
        """Number of status events that repeat an earlier one."""
        return sum(count - 1 for count in self.published.values())

    def reported_at(self, expected: frozenset[Sensor]) -> float | None:
        """Return when the last CCD had its good events, or None if one is missing."""
        if any(not expected <= times.keys() for times in self.good.values()):
            return None
        return max(
            at for times in self.good.values() for ccd, at in times.items() if ccd in expected
        )


class Oracle:
    """The traces of all images and the checks on them.

    Parameters
    ----------
    expected
        The CCDs of an image.
    files_missing
        Function that counts the missing files of an image on disk.
    has_catch_up
        Whether the archiver must deliver each exposure that the camera took, also one whose events
        were put while the CSC was not ENABLED.
    """

    def __init__(
        self,
        expected: frozenset[Sensor],
        files_missing: FilesMissing,
        *,
        has_catch_up: bool = False,
    ) -> None:
        self._expected = expected
        self._has_catch_up = has_catch_up
        self._files_missing = files_missing
        self._whole_on_disk: set[str] = set()
        self.traces: dict[str, Trace] = {}
        self.run = 0
        """Number of the scenario run to which new images belong."""

    def put(self, topic: str, obsid: str, at: float, *, enabled: bool) -> None:
        """Record an event of the camera or the header service; the first of its kind counts."""
        trace = self.traces.setdefault(obsid, Trace(obsid, self.run))
        trace.puts.setdefault(topic, Put(at, enabled))

    def reported(self, topic: str, fields: Mapping[str, Any], at: float) -> None:
        """Record a status event; ignore one of an image that was not put."""
        trace = self.traces.get(fields["obsid"])
        if trace is None:
            return
        trace.published[topic, *(fields[name] for name in SAME)] += 1
        if fields["statusCode"] == 0:
            trace.good[topic].setdefault((fields["raft"], fields["sensor"]), at)

    def left_enabled(self, at: float) -> None:
        """Record that the CSC has left ENABLED.

        The CSC may have received the events just before in either state, so they count as put while
        it was not ENABLED.
        """
        on_the_way = scaled(ON_THE_WAY_S)
        for trace in self.traces.values():
            for put in trace.puts.values():
                if at - on_the_way <= put.at <= at:
                    put.enabled = False

    def record_rejected(self, obsid: str) -> None:
        """Record that an image is among the dead letters, as expected."""
        if obsid in self.traces:
            self.traces[obsid].is_dead_lettered = True

    def rejected(self, run: int) -> list[Trace]:
        """Return the images of a run that are among the dead letters."""
        return [trace for trace in self.of(run) if trace.is_dead_lettered]

    def record_deleted_queue(self, topic: str, began: float, ended: float) -> None:
        """Record that the queue of a status topic was missing for a time.

        The deployed peers publish statuses without a confirmation. RabbitMQ drops those that are in
        the queue, or that arrive while it is missing. So each image that was in progress may stay
        without events of this topic. An image whose last event was put later must be complete.
        """
        for trace in self.accepted(self.run):
            at = self.delivered_at(trace)
            if trace.last_put <= ended and (at is None or at >= began):
                trace.droppable.add(topic)

    def incomplete(self, run: int) -> list[Trace]:
        """Return the accepted images of a run that lack only events that may have been dropped."""
        return [trace for trace in self.accepted(run) if self._is_incomplete(trace)]

    def lacks(self, trace: Trace, topic: str) -> bool:
        """Return whether an image has no good event of a topic for one of its CCDs."""
        return not self._expected <= trace.good[topic].keys()

    def _is_incomplete(self, trace: Trace) -> bool:
        lacking = {topic for topic in STATUS_TOPICS if self.lacks(trace, topic)}
        return (
            bool(lacking)
            and lacking <= trace.droppable
            and not trace.is_dead_lettered
            and self._files_missing(trace.obsid) == 0
        )

    def of(self, run: int) -> list[Trace]:
        """Return the traces of a run."""
        return [trace for trace in self.traces.values() if trace.run == run]

    def accepted(self, run: int) -> list[Trace]:
        """Return the images of a run that the archiver must deliver."""
        return [
            trace
            for trace in self.of(run)
            if trace.is_accepted or (self._has_catch_up and trace.is_taken)
        ]

    def delivered_at(self, trace: Trace) -> float | None:
        """Return when an image was complete, or None if it is not.

        It is complete with all its files in both trees and both events of each CCD.
        """
        at = trace.reported_at(self._expected)
        if at is None:
            return None
        if trace.obsid not in self._whole_on_disk:
            if self._files_missing(trace.obsid) > 0:
                return None
            self._whole_on_disk.add(trace.obsid)
        return at

    def outstanding(self, run: int) -> list[Trace]:
        """Return the accepted images of a run that are not delivered yet.

        Those that lack only events that may have been dropped do not count.
        """
        return [
            trace
            for trace in self.accepted(run)
            if not trace.is_dead_lettered
            and self.delivered_at(trace) is None
            and not self._is_incomplete(trace)
        ]

    def describe(self, trace: Trace) -> str:
        """Return a text for people that lists what is missing of an image."""
        counts = ", ".join(
            f"{topic} {len(times)}/{len(self._expected)}" for topic, times in trace.good.items()
        )
        return (
            f"{trace.obsid}: put {'+'.join(trace.puts)}; {counts}; "
            f"{self._files_missing(trace.obsid)} files missing"
        )
