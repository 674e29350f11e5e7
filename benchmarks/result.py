"""Result of a run, as it is written to the JSON file."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import Field

from benchmarks.baselines import REDIS, REDIS_HOPS
from benchmarks.paths import Path, Round
from benchmarks.stats import Figures, Summary, summarize


class Machine(Figures):
    """Host and time of a run; the load shows whether the host had other work."""

    started: str
    cores: int
    python: str
    kernel: str
    load_before: float
    """Processes running or waiting to run, over the last minute."""
    load_after: float = 0.0


class PathResult(Figures):
    """One path through the archiver, all rounds together."""

    name: str
    hops: dict[str, int]
    took: Summary
    peer: Summary | None
    """Time of a peer's work on the path; it is not part of `took`."""
    floor_ms: float
    """The sum of the medians of its hops."""
    ratio: float
    """The median divided by the floor."""
    medians_ms: list[float]
    """The median of each round; they show whether the speed of the host changed."""


class Latency(Figures):
    """The floor and the paths for each `appendfsync` of Redis, with one exposure at a time."""

    images: int
    """Images counted in each round, without the warm-up."""
    rounds: int
    floors: dict[str, Summary]
    paths: dict[str, list[PathResult]]


class StatusBurst(Figures):
    """Ingest statuses published at once."""

    count: int
    lost: int
    out_of_order: int
    """Events that arrived after an event whose status was published later."""
    per_second: float
    """From the first publish to the last event."""


class CameraBurst(Figures):
    """One kind of event sent for many exposures without a pause."""

    topic: str
    count: int
    lost: int
    seconds: float
    """From the first event to the last message at its peer."""


class Steady(Figures):
    """Exposures at a steady rate; all statuses of one exposure are published at once."""

    exposures_per_second: float
    ccds: int
    exposures: int
    lost: int
    """Messages and events that did not arrive."""
    paths: dict[str, Summary]
    cpu_ms: dict[str, float]
    """CPU time of each worker for an exposure, user and system, including its idle time."""
    redis_commands: dict[str, float]
    """Commands for an exposure by name, including those within scripts."""


class Load(Figures):
    """Start times, idle costs, bursts and steady rates."""

    start_s: dict[str, float]
    """From the start of each worker's process to its first heartbeat; each started alone."""
    idle_cpu_ms: dict[str, float]
    """CPU time of each worker in a second without exposures."""
    rss_mb: dict[str, float]
    """Memory of each worker after the bursts."""
    bare_per_second: dict[str, float]
    """Rate of each hop alone for as many messages as in `statuses`; all share the same cores."""
    statuses: StatusBurst
    bursts: list[CameraBurst]
    steady: list[Steady]


class Growth(Figures):
    """Latency for a number of images in the ledger and in progress."""

    ledger: int
    in_work: int
    paths: dict[str, Summary]
    floor_ms: dict[str, float]
    """Floor of each path just before; it shows whether the speed of the host changed."""
    cpu_ms: dict[str, float]
    """CPU time of each worker for an exposure."""


class CatchUpPath(Figures):
    """One path of live exposures without and with missed ones beside them."""

    name: str
    without: Summary
    during: Summary

    @property
    def ratio(self) -> float:
        """The median during the catch-up divided by that without it."""
        return self.during.median / self.without.median


class CatchUp(Figures):
    """Live exposures while missed ones are archived, in one run."""

    missed: int
    left: int
    """Missed exposures that were not requested in this time; 0 if the catch-up works."""
    paths: list[CatchUpPath]


class Result(Figures):
    """Result of a run; parts that were not requested are missing."""

    machine: Machine
    latency: Latency | None = None
    catch_up: CatchUp | None = None
    load: Load | None = None
    growth: list[Growth] = Field(default_factory=list)


def describe_machine() -> Machine:
    """Return the host, the time and the present load."""
    return Machine(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=os.cpu_count() or 0,
        python=platform.python_version(),
        kernel=platform.release(),
        load_before=os.getloadavg()[0],
    )


def put_together(
    images: int,
    floors: Sequence[Mapping[str, list[float]]],
    rounds: Mapping[str, Sequence[Mapping[str, Round]]],
    paths: Sequence[Path],
) -> Latency:
    """Summarize the rounds for each `appendfsync`, with the floor of the same rounds."""
    hops = {
        hop: summarize([value for floor in floors for value in floor[hop]]) for hop in floors[0]
    }
    return Latency(
        images=images,
        rounds=len(floors),
        floors=hops,
        paths={
            fsync: [
                _path_result(path, [one[path.name] for one in found], hops, REDIS_HOPS[fsync])
                for path in paths
            ]
            for fsync, found in rounds.items()
        },
    )


def floor_of(path: Path, hops: Mapping[str, Summary], redis: str = REDIS) -> float:
    """Return the sum of the medians of a path's hops; ``redis`` names the Redis hop to use."""
    return sum(
        hops[redis if hop == REDIS else hop].median * times for hop, times in path.hops.items()
    )


def _path_result(
    path: Path, rounds: Sequence[Round], hops: Mapping[str, Summary], redis: str
) -> PathResult:
    took = summarize(
        [value for found in rounds for value in found.durations],
        sum(found.missing for found in rounds),
    )
    floor = floor_of(path, hops, redis)
    return PathResult(
        name=path.name,
        hops=dict(path.hops),
        took=took,
        peer=summarize([value for found in rounds for value in found.peer]) if path.peer else None,
        floor_ms=floor,
        ratio=took.median / floor,
        medians_ms=[summarize(found.durations).median for found in rounds],
    )
