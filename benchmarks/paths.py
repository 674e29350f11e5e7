"""The measured paths through the archiver, from the first hop's start to the last hop's end."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.baselines import RABBIT, REDIS, SAL
from benchmarks.event_times import GOT, OWN, PUT, EventTimes, file_key
from benchmarks.peers import INGEST, PACE, RETRIEVAL
from benchmarks.testbed import END, HEADER, START, BenchmarkTestbed
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED

SPACING_S = 0.04
"""Pause between two events: each is processed and acknowledged before the next one is sent."""
WARM_UP = 5
"""Images at the beginning of each round that are not counted: caches are still empty."""
NEW_ITEM = "NEW_CC_ARCHIVE_ITEM"


@dataclass(frozen=True)
class Path:
    """One path.

    Parameters
    ----------
    name
        Name in tables and plots.
    begin, end
        Kinds of the first and the last event.
    hops
        How often each hop is unavoidable; the sum of their times is the floor.
    per_file
        Whether the path is measured for each file of an image instead of each image.
    peer
        First and last event of a peer's work on the path. Its time is measured and subtracted.
    """

    name: str
    begin: str
    end: str
    hops: Mapping[str, int]
    per_file: bool = False
    peer: tuple[str, str] | None = None


IN, OUT = {SAL: 1, REDIS: 1, RABBIT: 1}, {RABBIT: 1, REDIS: 1, SAL: 1}
"""From SAL to a peer, and back. The CSC and the bridge communicate through Redis."""

PATHS = (
    Path("endReadout → CC_FWDR_END_READOUT", PUT + END, GOT + "CC_FWDR_END_READOUT", IN),
    Path(
        "startIntegration → CC_FWDR_XFER_PARAMS",
        PUT + START,
        GOT + "CC_FWDR_XFER_PARAMS",
        IN | {RABBIT: 3},  # the instruction to the Controller and its answer come first
        peer=(GOT + NEW_ITEM, OWN + NEW_ITEM),
    ),
    Path(
        "largeFileObjectAvailable → CC_FWDR_HEADER_READY",
        PUT + HEADER,
        GOT + "CC_FWDR_HEADER_READY",
        IN,
    ),
    Path(
        "IMAGE_RETRIEVAL_… → imageRetrievalForArchiving",
        PUT + RETRIEVAL,
        GOT + RETRIEVED,
        OUT,
        per_file=True,
    ),
    Path("IMAGE_IN_OODS → imageInOODS", PUT + INGEST, GOT + INGESTED, OUT, per_file=True),
)


def files_of(testbed: BenchmarkTestbed, images: list[str]) -> list[str]:
    """Return the keys of all files of some images."""
    return [
        file_key(image, raft, sensor) for image in images for raft, sensor in testbed.settings.ccds
    ]


async def expose(testbed: BenchmarkTestbed, images: list[str], done: Callable[[], None]) -> None:
    """Expose images one after the other; each begins when the last one is complete or lost."""
    testbed.peers.send_command(**{PACE: SPACING_S})
    for image in images:
        for topic in (START, END, HEADER):
            await testbed.put(topic, image)
            await asyncio.sleep(SPACING_S)
        # The statuses of its files arrive during this pause. An earlier query would disturb them.
        await asyncio.sleep(SPACING_S * 2 * len(testbed.settings.ccds))
        await testbed.collect(GOT + INGESTED, files_of(testbed, [image]))
        done()


@dataclass(frozen=True)
class Round:
    """Measurement of one path: its times in ms, how many are missing, the peer's times in ms."""

    durations: list[float]
    missing: int
    peer: list[float]


def read(testbed: BenchmarkTestbed, images: list[str]) -> dict[str, Round]:
    """Return the measurements of some images by the paths' names."""
    files = files_of(testbed, images)
    return {
        path.name: _read_path(testbed.event_times, path, files if path.per_file else images)
        for path in PATHS
    }


def _read_path(event_times: EventTimes, path: Path, keys: list[str]) -> Round:
    durations = event_times.durations_ms(path.begin, path.end, keys, less=path.peer)
    peer = event_times.durations_ms(*path.peer, keys) if path.peer is not None else []
    return Round(durations, len(keys) - len(durations), peer)
