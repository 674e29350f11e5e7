"""What a run found, as it goes into its JSON file."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import Field

from benchmarks.baselines import REDIS, REDIS_HOPS
from benchmarks.paths import Path, Round
from benchmarks.stats import Figures, Summary, summarize


class Machine(Figures):
    """Where and when; a machine with other work shows by its load."""

    started: str
    cores: int
    python: str
    kernel: str
    load_before: float
    """Processes running or waiting to run, over the last minute."""
    load_after: float = 0.0


class PathResult(Figures):
    """One way through the archiver, all rounds together."""

    name: str
    hops: dict[str, int]
    took: Summary
    peer: Summary | None
    """What a peer did on the way; not in `took`."""
    floor_ms: float
    """The sum of the medians of the hops it must take."""
    ratio: float
    """The median beside the floor."""
    medians_ms: list[float]
    """Of each round: they show whether the machine drifted."""


class Latency(Figures):
    """The floor and the ways, with one exposure in work at a time; the ways for each `appendfsync` of Redis."""

    images: int
    """Counted in each round; those that warm up are not."""
    rounds: int
    floors: dict[str, Summary]
    paths: dict[str, list[PathResult]]


class StatusBurst(Figures):
    """Ingest statuses published at once."""

    count: int
    lost: int
    out_of_order: int
    """Events that came after one whose status was published later."""
    per_second: float
    """From the first publish to the last event."""


class CameraBurst(Figures):
    """One kind of event put for many exposures without a pause."""

    topic: str
    count: int
    lost: int
    seconds: float
    """From the first put to the last message at its peer."""


class Steady(Figures):
    """Exposures at a steady rate; all files of one exposure are reported at once."""

    exposures_per_second: float
    ccds: int
    exposures: int
    lost: int
    """Messages and events that never came."""
    paths: dict[str, Summary]
    cpu_ms: dict[str, float]
    """Of each worker, user and system, for an exposure; what it does when idle is in it."""
    redis_commands: dict[str, float]
    """For an exposure, by name; those within scripts are counted too."""


class Load(Figures):
    """Many at once."""

    start_s: dict[str, float]
    """Of each worker, alone: from its process's start to its first sign of life."""
    idle_cpu_ms: dict[str, float]
    """Of each worker in a second without exposures."""
    rss_mb: dict[str, float]
    """Memory of each worker after the bursts."""
    bare_per_second: dict[str, float]
    """As many at once as in `statuses`, through each hop alone; together they share the same cores."""
    statuses: StatusBurst
    bursts: list[CameraBurst]
    steady: list[Steady]


class Growth(Figures):
    """Latency beside what is in the ledger and in work."""

    ledger: int
    in_work: int
    paths: dict[str, Summary]
    floor_ms: dict[str, float]
    """Of each path, just before: a machine that drifts shows here."""
    cpu_ms: dict[str, float]
    """Of each worker, for an exposure."""


class Result(Figures):
    """All of a run; what was not asked for is not there."""

    machine: Machine
    latency: Latency | None = None
    load: Load | None = None
    growth: list[Growth] = Field(default_factory=list)


def describe_machine() -> Machine:
    """Say where and when, now."""
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
    """Sum rounds up, for each `appendfsync`; the floor is that of the same rounds."""
    hops = {hop: summarize([value for floor in floors for value in floor[hop]]) for hop in floors[0]}
    return Latency(
        images=images,
        rounds=len(floors),
        floors=hops,
        paths={
            fsync: [_path_result(path, [one[path.name] for one in found], hops, REDIS_HOPS[fsync]) for path in paths]
            for fsync, found in rounds.items()
        },
    )


def floor_of(path: Path, hops: Mapping[str, Summary], redis: str = REDIS) -> float:
    """Add the medians of the hops that a path must take; ``redis`` is which of the two Redis hops counts."""
    return sum(hops[redis if hop == REDIS else hop].median * times for hop, times in path.hops.items())


def _path_result(path: Path, rounds: Sequence[Round], hops: Mapping[str, Summary], redis: str) -> PathResult:
    took = summarize([value for found in rounds for value in found.durations], sum(found.missing for found in rounds))
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
