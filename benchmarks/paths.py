"""The ways through the archiver that are measured, from the first hop's beginning to the last one's end."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.baselines import RABBIT, REDIS, SAL
from benchmarks.event_times import GOT, OWN, PUT, EventTimes, file_key
from benchmarks.peers import INGEST, PACE, RETRIEVAL
from benchmarks.stage import END, HEADER, START, Stage
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED

SPACING_S = 0.04
"""Between two events: each is over, with its acknowledgements, before the next comes."""
WARM_UP = 5
"""Images at the beginning of each round that are not counted: caches fill, code pages come in."""
NEW_ITEM = "NEW_CC_ARCHIVE_ITEM"


@dataclass(frozen=True)
class Path:
    """One way.

    Parameters
    ----------
    name
        For people.
    begin, end
        What happens first and last.
    hops
        How often each hop must be taken, whatever the archiver does: the floor.
    per_file
        Whether it is taken for each file of an image, not for each image.
    peer
        What a peer does on the way, from and to: measured, and taken off.
    """

    name: str
    begin: str
    end: str
    hops: Mapping[str, int]
    per_file: bool = False
    peer: tuple[str, str] | None = None


IN, OUT = {SAL: 1, REDIS: 1, RABBIT: 1}, {RABBIT: 1, REDIS: 1, SAL: 1}
"""SAL to bridge to peer, and back: the two workers meet in Redis."""

PATHS = (
    Path("endReadout → CC_FWDR_END_READOUT", PUT + END, GOT + "CC_FWDR_END_READOUT", IN),
    Path(
        "startIntegration → CC_FWDR_XFER_PARAMS",
        PUT + START,
        GOT + "CC_FWDR_XFER_PARAMS",
        IN | {RABBIT: 3},  # the question to the Controller and its answer come first
        peer=(GOT + NEW_ITEM, OWN + NEW_ITEM),
    ),
    Path("largeFileObjectAvailable → CC_FWDR_HEADER_READY", PUT + HEADER, GOT + "CC_FWDR_HEADER_READY", IN),
    Path("IMAGE_RETRIEVAL_… → imageRetrievalForArchiving", PUT + RETRIEVAL, GOT + RETRIEVED, OUT, per_file=True),
    Path("IMAGE_IN_OODS → imageInOODS", PUT + INGEST, GOT + INGESTED, OUT, per_file=True),
)


def files_of(stage: Stage, images: list[str]) -> list[str]:
    """Name all files of some images."""
    return [file_key(image, raft, sensor) for image in images for raft, sensor in stage.settings.ccds]


async def expose(stage: Stage, images: list[str], done: Callable[[], None]) -> None:
    """Take images one after the other; the next one begins when all is reported of the last, or given up."""
    stage.peers.tell(**{PACE: SPACING_S})
    for image in images:
        for topic in (START, END, HEADER):
            stage.put(topic, image)
            await asyncio.sleep(SPACING_S)
        # Its files are reported meanwhile. To ask before would disturb what is measured.
        await asyncio.sleep(SPACING_S * 2 * len(stage.settings.ccds))
        await stage.collect(GOT + INGESTED, files_of(stage, [image]))
        done()


@dataclass(frozen=True)
class Round:
    """What was measured of one path: milliseconds, how many are missing, milliseconds of the peer's own work."""

    durations: list[float]
    missing: int
    peer: list[float]


def read(stage: Stage, images: list[str]) -> dict[str, Round]:
    """Put the notes about some images together, by the paths' names."""
    files = files_of(stage, images)
    return {path.name: _read_path(stage.receipts, path, files if path.per_file else images) for path in PATHS}


def _read_path(receipts: EventTimes, path: Path, keys: list[str]) -> Round:
    durations = receipts.durations_ms(path.begin, path.end, keys, less=path.peer)
    peer = receipts.durations_ms(*path.peer, keys) if path.peer is not None else []
    return Round(durations, len(keys) - len(durations), peer)
