"""Latency as a function of the number of images in the ledger and in progress."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks import paths
from benchmarks.baselines import Floor
from benchmarks.event_times import GOT
from benchmarks.load import BURST_INSTRUCTIONS, site_of
from benchmarks.peers import PACE, TARGET_DIR
from benchmarks.result import Growth, floor_of
from benchmarks.stats import summarize
from benchmarks.testbed import END, HEADER, ONE_BOARD, START, BenchmarkTestbed, open_testbed
from benchmarks.workers import Processes, spent_each
from ccarchiver_core.domain.exposure import (
    EndReadout,
    HeaderReady,
    Instruction,
    SentInstruction,
    StartIntegration,
)
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.image_record import ImageState, ReceivedEvent
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.peers.camera.exposure import image_name
from ccarchiver_sim.testbed.sal_observer import INGESTED

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import ExposureEvent

LEDGERS = (0, 10_000)
LARGEST_LEDGER = 100_000
"""Default of MAX_LEDGER_IMAGES."""
ROOM = 2 * LARGEST_LEDGER
"""MAX_LEDGER_IMAGES of the benchmark, so that housekeeping prunes nothing meanwhile."""
IN_WORK = (1, 10, 100)
OLD_DAY = "20260101"
"""Day of the images that only fill the ledger."""
OLD_S = 86_400.0
"""Their age, within the retention of the ledger."""
FLOOR_COUNT = 40
"""Messages through each hop alone before each measurement."""
AT_ONCE = 200
"""Images in one write to Redis."""
HOLD_SPACING_S = 0.02
"""Between the starts of images that stay in progress."""

ShowProgress = Callable[[str], None]


async def measure_scaling(
    images: int, ledgers: Sequence[int], show_progress: ShowProgress
) -> list[Growth]:
    """Measure latency for each size of the ledger and each number of images in progress.

    Parameters
    ----------
    images
        Images of each measurement.
    ledgers
        Sizes of the ledger, smallest first.
    show_progress
        Called with a description of each part when it begins.
    """
    found = []
    filled = 0
    async with open_testbed({**site_of(ONE_BOARD), "MAX_LEDGER_IMAGES": ROOM}) as testbed:
        await testbed.enable()
        floor = Floor(testbed, lambda: None)
        await paths.expose(testbed, testbed.new_images(paths.WARM_UP), lambda: None)
        for size in ledgers:
            if size > filled:
                show_progress(f"writing {size - filled} images into the ledger")
                await _fill(testbed, filled, size)
                filled = size
            for in_work in IN_WORK:
                show_progress(f"{size} in the ledger, {in_work} in progress")
                found.append(await _measure(testbed, floor, size, in_work, images))
    return found


async def _measure(
    testbed: BenchmarkTestbed, floor: Floor, size: int, in_work: int, count: int
) -> Growth:
    hops = {
        hop: summarize(durations) for hop, durations in (await floor.measure(FLOOR_COUNT)).items()
    }
    held = testbed.new_images(in_work - 1)
    for image in held:
        await testbed.put(START, image)
        await asyncio.sleep(HOLD_SPACING_S)
    await testbed.collect(GOT + BURST_INSTRUCTIONS[START], held)
    images = testbed.new_images(count)
    processes = Processes(testbed)
    before = processes.cpu_ms()
    await paths.expose(testbed, images, lambda: None)
    spent = spent_each(before, processes.cpu_ms(), count)
    measured = paths.read(testbed, images)
    await _let_go(testbed, held)
    return Growth(
        ledger=size,
        in_work=in_work,
        paths={name: summarize(one.durations, one.missing) for name, one in measured.items()},
        floor_ms={path.name: floor_of(path, hops) for path in paths.PATHS},
        cpu_ms=spent,
    )


async def _let_go(testbed: BenchmarkTestbed, held: list[str]) -> None:
    """Complete the images that were held in progress before the next measurement."""
    testbed.peers.send_command(**{PACE: 0})
    for image in held:
        await testbed.put(END, image)
        await testbed.put(HEADER, image)
    await testbed.collect(GOT + INGESTED, paths.files_of(testbed, held))


async def _fill(testbed: BenchmarkTestbed, first: int, last: int) -> None:
    """Write complete images into the ledger with the same commands as the workers."""
    for begin in range(first, last, AT_ONCE):
        pipe = testbed.redis.pipeline(transaction=False)
        for number in range(begin, min(begin + AT_ONCE, last)):
            for words in complete_image(
                image_name(OLD_DAY, number), number, testbed.settings
            ).commands:
                pipe.execute_command(*words)
        await pipe.execute()


def complete_image(image: str, number: int, settings: "Settings") -> Transaction:
    """Return a transaction that writes the record of a complete image."""
    at = time.time() - OLD_S
    transaction = Transaction()
    events: tuple[ExposureEvent, ...] = (
        StartIntegration(
            image_name=image,
            image_index=0,
            images_in_sequence=1,
            image_date=OLD_DAY,
            exposure_time=0.0,
        ),
        EndReadout(image_name=image, image_index=0, images_in_sequence=1),
        HeaderReady(url=f"http://127.0.0.1:8000/{image}.yaml"),
    )
    for event in events:
        received = ReceivedEvent(image, number, OLD_DAY, event, at)
        ImageLedger.record_event(
            transaction, received, ImageState.ACCEPTED, is_new=event is events[0]
        )
    for instruction in Instruction:
        sent = SentInstruction(
            ack_id=f"{OLD_DAY}_{number}{instruction.digit}",
            session_id=OLD_DAY,
            epoch=1,
            acked=True,
            sent_at=at,
        )
        ImageLedger.record_instruction(transaction, image, instruction, sent)
    ImageLedger.record_target_dir(transaction, image, TARGET_DIR)
    for count, (raft, sensor) in enumerate(settings.ccds, start=1):
        for topic in StatusTopic:
            status = FileStatus(
                topic=topic,
                camera=settings.camera_name,
                archiver=settings.archiver_name,
                obsid=image,
                raft=raft,
                sensor=sensor,
                filename=f"{TARGET_DIR}{image}-R{raft}{sensor}.fits",
                status_code=0,
                description="",
            )
            ImageLedger.record_status(transaction, status, at, count)
    ImageLedger.finish(transaction, image, ImageState.COMPLETE)
    return transaction
