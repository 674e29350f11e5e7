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
from benchmarks.stats import NS_PER_MS, summarize
from benchmarks.testbed import (
    BOARDS_OF_COMCAM,
    END,
    HEADER,
    ONE_BOARD,
    START,
    BenchmarkTestbed,
    open_testbed,
)
from benchmarks.workers import Processes, spent_each, start_times
from ccarchiver_sim.testbed.sal_observer import INGESTED

STATUSES = 2000
CAMERA_BURSTS = (200, 2000)
"""A burst in which the previous archiver lost events, and a burst ten times as large."""
BURST_INSTRUCTIONS = {
    START: "CC_FWDR_XFER_PARAMS",
    END: "CC_FWDR_END_READOUT",
    HEADER: "CC_FWDR_HEADER_READY",
}
"""The instruction to the Forwarder that each kind of event causes."""
EVENT_SPACING_S = 0.1
"""Between the events of one exposure at a steady rate; the Controller answers within it."""
IDLE_S = 5.0
"""Duration of the measurement of idle workers."""
STEADY_S = 30.0
"""Duration of each steady rate."""
AFTER_BURST_S = 2.0
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

ShowProgress = Callable[[str], None]


def site_of(boards: Sequence[str]) -> dict[str, object]:
    """Return the keys of a site file for a camera with these boards."""
    return {"ATS": {"WFS_RAFT": "22", "WFS_CCD": list(boards)}}


async def measure_load(show_progress: ShowProgress) -> Load:
    """Measure start times, bursts and steady rates, with a separate archiver for each camera.

    Parameters
    ----------
    show_progress
        Called with a description of each part when it begins.
    """
    async with open_testbed(site_of(BOARDS_OF_COMCAM)) as testbed:
        show_progress("start times")
        starts = await start_times(testbed)
        await testbed.enable()
        processes = Processes(testbed)
        show_progress("idle")
        before = processes.cpu_ms()
        await asyncio.sleep(IDLE_S)
        idle = spent_each(before, processes.cpu_ms(), IDLE_S)
        steady = [await _steady(testbed, rate, show_progress) for rate in RATES]
        show_progress(f"{STATUSES} at once through each hop alone")
        bare = await Floor(testbed, lambda: None).measure_at_once(STATUSES)
        show_progress(f"{STATUSES} ingest statuses at once")
        statuses = await _status_burst(testbed, STATUSES)
        memory = processes.rss_mb()
    async with open_testbed(site_of(ONE_BOARD)) as testbed:
        await testbed.enable()
        bursts = [
            burst
            for count in CAMERA_BURSTS
            for burst in await _camera_bursts(testbed, count, show_progress)
        ]
    async with open_testbed(site_of(MANY_BOARDS)) as testbed:
        await testbed.enable()
        steady += [await _steady(testbed, rate, show_progress) for rate in RATES_OF_MANY]
    return Load(
        start_s=starts,
        idle_cpu_ms=idle,
        rss_mb=memory,
        bare_per_second=bare,
        statuses=statuses,
        bursts=bursts,
        steady=steady,
    )


async def _status_burst(testbed: BenchmarkTestbed, count: int) -> StatusBurst:
    event_times = testbed.event_times
    known = set(event_times.of(PUT + INGEST))
    testbed.peers.send_command(**{BURST: count})
    while len(put := [key for key in event_times.of(PUT + INGEST) if key not in known]) < count:
        event_times.add(await testbed.peers.collect())
    lost = await testbed.collect(GOT + INGESTED, put)
    place = {key: number for number, key in enumerate(put)}
    arrived = [place[key] for key in event_times.of(GOT + INGESTED) if key in place]
    first = event_times.of(PUT + INGEST)[put[0]]
    last = max((event_times.of(GOT + INGESTED)[put[number]] for number in arrived), default=first)
    return StatusBurst(
        count=count,
        lost=len(lost),
        out_of_order=sum(later < earlier for earlier, later in itertools.pairwise(arrived)),
        per_second=len(arrived) / ((last - first) / NS_PER_MS / 1000) if arrived else 0.0,
    )


async def _camera_bursts(
    testbed: BenchmarkTestbed, count: int, show_progress: ShowProgress
) -> list[CameraBurst]:
    """Send one kind of event for all images, then the next kind, as separate bursts."""
    testbed.peers.send_command(**{PACE: 0})
    images = testbed.new_images(count)
    found = []
    for topic, instruction in BURST_INSTRUCTIONS.items():
        show_progress(f"{count} {topic} at once")
        for image in images:
            await testbed.put(topic, image)
        lost = await testbed.collect(GOT + instruction, images)
        begin, arrived = (
            testbed.event_times.of(PUT + topic),
            testbed.event_times.of(GOT + instruction),
        )
        last = max(
            (arrived[image] for image in images if image in arrived), default=begin[images[0]]
        )
        seconds = (last - begin[images[0]]) / NS_PER_MS / 1000
        found.append(CameraBurst(topic=topic, count=count, lost=len(lost), seconds=seconds))
        await asyncio.sleep(AFTER_BURST_S)
    show_progress(f"waiting until these {count} images are complete")
    await testbed.collect(GOT + INGESTED, paths.files_of(testbed, images))
    return found


async def _steady(testbed: BenchmarkTestbed, rate: Rate, show_progress: ShowProgress) -> Steady:
    show_progress(
        f"{rate.exposures_per_second:g} exposures a second of {len(testbed.settings.ccds)} CCDs"
    )
    testbed.peers.send_command(**{PACE: 0})
    images = testbed.new_images(max(1, round(rate.exposures_per_second * STEADY_S)))
    processes = Processes(testbed)
    cpu, commands = processes.cpu_ms(), await testbed.command_stats()
    begin = time.monotonic()

    async def expose(number: int, image: str) -> None:
        await asyncio.sleep(begin + number / rate.exposures_per_second - time.monotonic())
        for topic in (START, END, HEADER):
            await testbed.put(topic, image)
            await asyncio.sleep(EVENT_SPACING_S)

    await asyncio.gather(*(expose(number, image) for number, image in enumerate(images)))
    await testbed.collect(GOT + INGESTED, paths.files_of(testbed, images))
    after_cpu, after_commands = processes.cpu_ms(), await testbed.command_stats()
    found = paths.read(testbed, images)
    return Steady(
        exposures_per_second=rate.exposures_per_second,
        ccds=len(testbed.settings.ccds),
        exposures=len(images),
        lost=sum(one.missing for one in found.values()),
        paths={name: summarize(one.durations, one.missing) for name, one in found.items()},
        cpu_ms=spent_each(cpu, after_cpu, len(images)),
        redis_commands=spent_each(_floats(commands), _floats(after_commands), len(images)),
    )


def _floats(counts: dict[str, int]) -> dict[str, float]:
    return {name: float(count) for name, count in counts.items()}
