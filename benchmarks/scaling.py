"""Latency beside what has piled up: images in the ledger, images in work."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks import paths
from benchmarks.baselines import Floor
from benchmarks.event_times import GOT
from benchmarks.load import BURST_ORDERS, site_of
from benchmarks.peers import PACE, TARGET_DIR
from benchmarks.result import Growth, floor_of
from benchmarks.stage import END, HEADER, ONE_BOARD, START, Stage, staged
from benchmarks.stats import summarize
from benchmarks.workers import Processes, spent_each
from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import EndReadout, HeaderReady, Instruction, SentInstruction, StartIntegration
from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic
from ccarchiver_core.store import file_status_fields, ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.peers.camera.exposure import image_name
from ccarchiver_sim.testbed.sal_observer import INGESTED

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import ExposureEvent

LEDGERS = (0, 10_000)
LARGEST_LEDGER = 100_000
"""What a site keeps at the most unless told (MAX_LEDGER_IMAGES)."""
ROOM = 2 * LARGEST_LEDGER
"""So that housekeeping takes nothing away while it is measured."""
IN_WORK = (1, 10, 100)
OLD_DAY = "20260101"
"""Of the images that are only there to fill the ledger."""
OLD_S = 86_400.0
"""How old they are: within the time the ledger keeps them."""
FLOOR_COUNT = 40
"""How often each hop is taken alone before each measurement."""
AT_ONCE = 200
"""Images written to Redis together."""
HOLD_SPACING_S = 0.02
"""Between the starts of images that are then held in work."""

Tell = Callable[[str], None]


async def measure_scaling(images: int, ledgers: Sequence[int], tell: Tell) -> list[Growth]:
    """Measure latency for each size of the ledger with each number of images in work.

    Parameters
    ----------
    images
        Measured each time.
    ledgers
        Sizes of the ledger, smallest first.
    tell
        Told what is done now.
    """
    found = []
    filled = 0
    async with staged({**site_of(ONE_BOARD), "MAX_LEDGER_IMAGES": ROOM}) as stage:
        await stage.enable()
        floor = Floor(stage, lambda: None)
        await paths.expose(stage, stage.new_images(paths.WARM_UP), lambda: None)
        for size in ledgers:
            if size > filled:
                tell(f"writing {size - filled} images into the ledger")
                await _fill(stage, filled, size)
                filled = size
            for in_work in IN_WORK:
                tell(f"{size} in the ledger, {in_work} in work")
                found.append(await _measure(stage, floor, size, in_work, images))
    return found


async def _measure(stage: Stage, floor: Floor, size: int, in_work: int, count: int) -> Growth:
    hops = {hop: summarize(durations) for hop, durations in (await floor.measure(FLOOR_COUNT)).items()}
    held = stage.new_images(in_work - 1)
    for image in held:
        stage.put(START, image)
        await asyncio.sleep(HOLD_SPACING_S)
    await stage.collect(GOT + BURST_ORDERS[START], held)
    images = stage.new_images(count)
    processes = Processes(stage)
    before = processes.cpu_ms()
    await paths.expose(stage, images, lambda: None)
    spent = spent_each(before, processes.cpu_ms(), count)
    measured = paths.read(stage, images)
    await _let_go(stage, held)
    return Growth(
        ledger=size,
        in_work=in_work,
        paths={name: summarize(one.durations, one.missing) for name, one in measured.items()},
        floor_ms={path.name: floor_of(path, hops) for path in paths.PATHS},
        cpu_ms=spent,
    )


async def _let_go(stage: Stage, held: list[str]) -> None:
    """Finish the images that were held, so that they do not count for the next measurement."""
    stage.peers.tell(**{PACE: 0})
    for image in held:
        stage.put(END, image)
        stage.put(HEADER, image)
    await stage.collect(GOT + INGESTED, paths.files_of(stage, held))


async def _fill(stage: Stage, first: int, last: int) -> None:
    """Write complete images into the ledger, field by field as the workers do."""
    for begin in range(first, last, AT_ONCE):
        pipe = stage.redis.pipeline(transaction=False)
        for number in range(begin, min(begin + AT_ONCE, last)):
            for words in complete_image(image_name(OLD_DAY, number), number, stage.settings).commands:
                pipe.execute_command(*words)
        await pipe.execute()


def complete_image(image: str, number: int, settings: "Settings") -> Transaction:
    """Give the writes that make a complete image, as the archiver leaves it."""
    at = time.time() - OLD_S
    transaction = Transaction()
    events: tuple[ExposureEvent, ...] = (
        StartIntegration(image_name=image, image_index=0, images_in_sequence=1, image_date=OLD_DAY, exposure_time=0.0),
        EndReadout(image_name=image, image_index=0, images_in_sequence=1),
        HeaderReady(url=f"http://127.0.0.1:8000/{image}.yaml"),
    )
    for event in events:
        heard = ledger.ReceivedEvent(image, number, OLD_DAY, event, at)
        ledger.record_event(transaction, heard, ImageState.ACCEPTED, is_new=event is events[0])
    for instruction in Instruction:
        sent = SentInstruction(
            ack_id=f"{OLD_DAY}_{number}{instruction.digit}", session_id=OLD_DAY, epoch=1, acked=True, sent_at=at
        )
        ledger.record_sent(transaction, image, instruction, sent)
    transaction.set_fields(keys.image(image), {"target_dir": TARGET_DIR})
    for raft, sensor in settings.ccds:
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
            transaction.set_fields(
                keys.image(image), {file_status_fields.field_of(status): file_status_fields.value_of(status, at)}
            )
    ledger.finish(transaction, image, ImageState.COMPLETE)
    return transaction
