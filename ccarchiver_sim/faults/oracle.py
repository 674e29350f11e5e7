"""Judges what became of each exposure from what was put on SAL and what came out, and from nothing else.

It reads neither the archiver's ledger nor its logs.
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
"""Two status events with all of these equal say the same thing twice."""

ON_THE_WAY_S = 0.5
"""On a free machine: an event put this long before the CSC said that it is not ENABLED any more may have reached it in
time or not."""

Sensor = tuple[str, str]
FilesMissing = Callable[[str], int]
"""Counts the files of an image that are not in the staging trees."""


@dataclass
class Put:
    """An event of the camera or the header service, when it was put the first time."""

    at: float
    enabled: bool
    """Whether the CSC had last said that it is ENABLED."""


@dataclass
class Trace:
    """All that is known of one image; times are of the monotonic clock."""

    obsid: str
    run: int
    """Number of the scenario's run in which its first event was put."""
    puts: dict[str, Put] = field(default_factory=dict)
    good: dict[str, dict[Sensor, float]] = field(default_factory=lambda: {topic: {} for topic in STATUS_TOPICS})
    """For each status topic the CCDs with a good report, and when the first of it came."""
    is_refused: bool = False
    """Whether it is among the dead letters, in a scenario in which that is right."""
    said: Counter[tuple[object, ...]] = field(default_factory=Counter)

    @property
    def is_accepted(self) -> bool:
        """Whether all of it was put while the CSC was ENABLED, so that the archiver answers for it."""
        return all(topic in self.puts and self.puts[topic].enabled for topic in TOPICS)

    @property
    def last_put(self) -> float:
        """When the last of its events was put."""
        return max(put.at for put in self.puts.values())

    @property
    def first_put(self) -> float:
        """When the first of its events was put."""
        return min(put.at for put in self.puts.values())

    @property
    def duplicates(self) -> int:
        """Status events beyond the first of those that say the same."""
        return sum(count - 1 for count in self.said.values())

    def reported_at(self, expected: frozenset[Sensor]) -> float | None:
        """When the last of the good reports of all CCDs came; None if one is missing."""
        if any(not expected <= times.keys() for times in self.good.values()):
            return None
        return max(at for times in self.good.values() for ccd, at in times.items() if ccd in expected)


class Oracle:
    """Keeps the traces and judges them.

    Parameters
    ----------
    expected
        The CCDs of an image.
    files_missing
        Looks at the disk.
    """

    def __init__(self, expected: frozenset[Sensor], files_missing: FilesMissing) -> None:
        self._expected = expected
        self._files_missing = files_missing
        self._whole_on_disk: set[str] = set()
        self.traces: dict[str, Trace] = {}
        self.run = 0
        """Number of the scenario's run whose images are put from now on."""

    def put(self, topic: str, obsid: str, at: float, *, enabled: bool) -> None:
        """Note an event of the camera or the header service; the first of its kind counts."""
        trace = self.traces.setdefault(obsid, Trace(obsid, self.run))
        trace.puts.setdefault(topic, Put(at, enabled))

    def reported(self, topic: str, fields: Mapping[str, Any], at: float) -> None:
        """Note a status event; one of an image that was not put is not judged."""
        trace = self.traces.get(fields["obsid"])
        if trace is None:
            return
        trace.said[topic, *(fields[name] for name in SAME)] += 1
        if fields["statusCode"] == 0:
            trace.good[topic].setdefault((fields["raft"], fields["sensor"]), at)

    def left_enabled(self, at: float) -> None:
        """Note that the CSC said it is not ENABLED: events just before may have come on either side."""
        on_the_way = scaled(ON_THE_WAY_S)
        for trace in self.traces.values():
            for put in trace.puts.values():
                if at - on_the_way <= put.at <= at:
                    put.enabled = False

    def refuse(self, obsid: str) -> None:
        """Note that an image is among the dead letters, as it should be."""
        if obsid in self.traces:
            self.traces[obsid].is_refused = True

    def refused(self, run: int) -> list[Trace]:
        """Return those of a run's images that are among the dead letters."""
        return [trace for trace in self.of(run) if trace.is_refused]

    def of(self, run: int) -> list[Trace]:
        """Return the traces of a run's images."""
        return [trace for trace in self.traces.values() if trace.run == run]

    def accepted(self, run: int) -> list[Trace]:
        """Return those of a run's images that the archiver answers for."""
        return [trace for trace in self.of(run) if trace.is_accepted]

    def delivered_at(self, trace: Trace) -> float | None:
        """When an image was all there: nine files in both trees, both reports of each; None if it is not."""
        at = trace.reported_at(self._expected)
        if at is None:
            return None
        if trace.obsid not in self._whole_on_disk:
            if self._files_missing(trace.obsid) > 0:
                return None
            self._whole_on_disk.add(trace.obsid)
        return at

    def outstanding(self, run: int) -> list[Trace]:
        """Return those of a run's accepted images that are not delivered by now."""
        return [trace for trace in self.accepted(run) if not trace.is_refused and self.delivered_at(trace) is None]

    def describe(self, trace: Trace) -> str:
        """Say what is missing of an image, for a person."""
        counts = ", ".join(f"{topic} {len(times)}/{len(self._expected)}" for topic, times in trace.good.items())
        return f"{trace.obsid}: put {'+'.join(trace.puts)}; {counts}; {self._files_missing(trace.obsid)} files missing"
