"""Load: bursts of events and statuses, exposures at a steady rate, and the CPU time of each."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import paths
from benchmarks.baselines import Floor
from benchmarks.event_times import GOT, PUT
from benchmarks.peers import BURST, INGEST, PACE
from benchmarks.result import CameraBurst, Load, StatusBurst, Steady
from benchmarks.stage import BOARDS_OF_COMCAM, END, HEADER, ONE_BOARD, START, Stage, staged
from benchmarks.stats import NS_PER_MS, summarize
from benchmarks.workers import Processes, spent_each, start_times
from ccarchiver_sim.testbed.sal_observer import INGESTED

STATUSES = 2000
CAMERA_BURSTS = (200, 2000)
"""A burst in which the previous archiver lost events, and a burst ten times as large."""
BURST_ORDERS = {
    START: "CC_FWDR_XFER_PARAMS",
    END: "CC_FWDR_END_READOUT",
    HEADER: "CC_FWDR_HEADER_READY",
}
"""The instruction to the Forwarder that each kind of event causes."""
STEP_S = 0.1
"""Between the events of one exposure at a steady rate; the Controller answers within it."""
IDLE_S = 5.0
"""Duration of the measurement of idle workers."""
STEADY_S = 30.0
"""Duration of each steady rate."""
SETTLE_S = 2.0
"""Pause after a burst, for acknowledgements and the last records."""
MANY_BOARDS = tuple(f"22/{board}" for board in range(69))
"""The fewest boards of three CCDs for the 205 sensors of a full camera with its corner rafts."""


@dataclass(frozen=True)
class Rate:
    """A steady rate to measure.

    Parameters
    ----------
    exposures_per_second
        The rate.
    boards
        Boards of the camera, with three CCDs each.
    """

    exposures_per_second: float
    boards: tuple[str, ...] = BOARDS_OF_COMCAM


RATES = (Rate(1), Rate(5), Rate(20))
RATES_OF_MANY = (Rate(0.2, MANY_BOARDS), Rate(1, MANY_BOARDS))

Tell = Callable[[str], None]


def site_of(boards: Sequence[str]) -> dict[str, object]:
    """Return the keys of a site file for a camera with these boards."""
    return {"ATS": {"WFS_RAFT": "22", "WFS_CCD": list(boards)}}


async def measure_load(tell: Tell) -> Load:
    """Measure start times, bursts and steady rates, with a separate archiver for each camera.

    Parameters
    ----------
    tell
        Called with a description of each part when it begins.
    """
    async with staged(site_of(BOARDS_OF_COMCAM)) as stage:
        tell("start times")
        starts = await start_times(stage)
        await stage.enable()
        processes = Processes(stage)
        tell("idle")
        before = processes.cpu_ms()
        await asyncio.sleep(IDLE_S)
        idle = spent_each(before, processes.cpu_ms(), IDLE_S)
        steady = [await _steady(stage, rate, tell) for rate in RATES]
        tell(f"{STATUSES} at once through each hop alone")
        bare = await Floor(stage, lambda: None).measure_at_once(STATUSES)
        tell(f"{STATUSES} ingest statuses at once")
        statuses = await _status_burst(stage, STATUSES)
        memory = processes.rss_mb()
    async with staged(site_of(ONE_BOARD)) as stage:
        await stage.enable()
        bursts = [
            burst for count in CAMERA_BURSTS for burst in await _camera_bursts(stage, count, tell)
        ]
    async with staged(site_of(MANY_BOARDS)) as stage:
        await stage.enable()
        steady += [await _steady(stage, rate, tell) for rate in RATES_OF_MANY]
    return Load(
        start_s=starts,
        idle_cpu_ms=idle,
        rss_mb=memory,
        bare_per_second=bare,
        statuses=statuses,
        bursts=bursts,
        steady=steady,
    )


async def _status_burst(stage: Stage, count: int) -> StatusBurst:
    receipts = stage.receipts
    known = set(receipts.of(PUT + INGEST))
    stage.peers.tell(**{BURST: count})
    while len(put := [key for key in receipts.of(PUT + INGEST) if key not in known]) < count:
        receipts.add(await stage.peers.take())
    lost = await stage.collect(GOT + INGESTED, put)
    place = {key: number for number, key in enumerate(put)}
    came = [place[key] for key in receipts.of(GOT + INGESTED) if key in place]
    first = receipts.of(PUT + INGEST)[put[0]]
    last = max((receipts.of(GOT + INGESTED)[put[number]] for number in came), default=first)
    return StatusBurst(
        count=count,
        lost=len(lost),
        out_of_order=sum(later < earlier for earlier, later in itertools.pairwise(came)),
        per_second=len(came) / ((last - first) / NS_PER_MS / 1000) if came else 0.0,
    )


async def _camera_bursts(stage: Stage, count: int, tell: Tell) -> list[CameraBurst]:
    """Send one kind of event for all images, then the next kind, as separate bursts."""
    stage.peers.tell(**{PACE: 0})
    images = stage.new_images(count)
    found = []
    for topic, order in BURST_ORDERS.items():
        tell(f"{count} {topic} at once")
        for image in images:
            stage.put(topic, image)
        lost = await stage.collect(GOT + order, images)
        begin, came = stage.receipts.of(PUT + topic), stage.receipts.of(GOT + order)
        last = max((came[image] for image in images if image in came), default=begin[images[0]])
        seconds = (last - begin[images[0]]) / NS_PER_MS / 1000
        found.append(CameraBurst(topic=topic, count=count, lost=len(lost), seconds=seconds))
        await asyncio.sleep(SETTLE_S)
    tell(f"waiting until these {count} images are complete")
    await stage.collect(GOT + INGESTED, paths.files_of(stage, images))
    return found


async def _steady(stage: Stage, rate: Rate, tell: Tell) -> Steady:
    tell(f"{rate.exposures_per_second:g} exposures a second of {len(stage.settings.ccds)} CCDs")
    stage.peers.tell(**{PACE: 0})
    images = stage.new_images(max(1, round(rate.exposures_per_second * STEADY_S)))
    processes = Processes(stage)
    cpu, commands = processes.cpu_ms(), await stage.command_stats()
    begin = time.monotonic()

    async def take(number: int, image: str) -> None:
        await asyncio.sleep(begin + number / rate.exposures_per_second - time.monotonic())
        for topic in (START, END, HEADER):
            stage.put(topic, image)
            await asyncio.sleep(STEP_S)

    await asyncio.gather(*(take(number, image) for number, image in enumerate(images)))
    await stage.collect(GOT + INGESTED, paths.files_of(stage, images))
    after_cpu, after_commands = processes.cpu_ms(), await stage.command_stats()
    found = paths.read(stage, images)
    return Steady(
        exposures_per_second=rate.exposures_per_second,
        ccds=len(stage.settings.ccds),
        exposures=len(images),
        lost=sum(one.missing for one in found.values()),
        paths={name: summarize(one.durations, one.missing) for name, one in found.items()},
        cpu_ms=spent_each(cpu, after_cpu, len(images)),
        redis_commands=spent_each(_floats(commands), _floats(after_commands), len(images)),
    )


def _floats(counts: dict[str, int]) -> dict[str, float]:
    return {name: float(count) for name, count in counts.items()}
