"""Latency of live exposures while missed ones are archived, compared with that without them."""

import asyncio
import time
from collections.abc import Callable

from benchmarks import paths
from benchmarks.event_times import GOT
from benchmarks.load import site_of
from benchmarks.peers import PACE
from benchmarks.result import CatchUp, CatchUpPath
from benchmarks.stats import summarize
from benchmarks.testbed import (
    END,
    HEADER,
    HEADER_URL,
    ONE_BOARD,
    START,
    BenchmarkTestbed,
    open_testbed,
)
from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import EndReadout, HeaderReady, StartIntegration
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.testbed.sal_observer import INGESTED

ROUNDS = 5
"""Parts of the catch-up. Live exposures without it are between them, so that a change in the speed
of the machine affects both."""
MISSED = 10
"""Missed exposures of each round; 50 in all are half an hour of a night."""
WITHOUT = 10
"""Live exposures without the catch-up in each round."""
MOST_LIVE = 60
"""Live exposures after which a round that is still not complete counts as stuck."""
EXPOSURE_S = 1.0
"""From startIntegration to endReadout. ComCam needs more than 2 s for the readout alone."""
PAUSE_S = 0.5
"""Between two live exposures; in it missed ones are archived."""
SCAN_TIMEOUT_S = 1.0
"""The scripted Forwarder does not answer SCAN, and no missed image is requested before its end."""
AGE_S = 3600.0
"""Age of the missed exposures."""

ShowProgress = Callable[[str], None]


async def measure_catch_up(show_progress: ShowProgress) -> CatchUp:
    """Measure live exposures without and during a catch-up in turn, with one archiver.

    Parameters
    ----------
    show_progress
        Called with a description of each part when it begins.
    """
    site = {**site_of(ONE_BOARD), "CATCH_UP": "automatic", "SCAN_TIMEOUT": SCAN_TIMEOUT_S}
    async with open_testbed(site) as testbed:
        await testbed.enable()
        testbed.peers.send_command(**{PACE: paths.SPACING_S})
        await _expose(testbed, paths.WARM_UP)
        without: list[str] = []
        during: list[str] = []
        left = 0
        for number in range(1, ROUNDS + 1):
            show_progress(f"round {number} of {ROUNDS}, {WITHOUT} live exposures")
            without += await _expose(testbed, WITHOUT)
            show_progress(f"round {number} of {ROUNDS}, live ones and {MISSED} missed ones")
            await _miss(testbed, testbed.new_images(MISSED))
            for _ in range(MOST_LIVE):
                if not await testbed.redis.zcard(keys.MISSED):
                    break
                during += await _expose(testbed, 1)
            left += int(await testbed.redis.zcard(keys.MISSED))
        before, after = paths.read(testbed, without), paths.read(testbed, during)
        return CatchUp(
            missed=ROUNDS * MISSED,
            left=left,
            paths=[
                CatchUpPath(
                    name=path.name,
                    without=summarize(before[path.name].durations, before[path.name].missing),
                    during=summarize(after[path.name].durations, after[path.name].missing),
                )
                for path in paths.PATHS
            ],
        )


async def _expose(testbed: BenchmarkTestbed, count: int) -> list[str]:
    """Take exposures one after the other, and return their names when all are ingested."""
    images = testbed.new_images(count)
    for image in images:
        await asyncio.sleep(PAUSE_S)
        await testbed.put(START, image)
        await asyncio.sleep(EXPOSURE_S)
        for topic in (END, HEADER):
            await testbed.put(topic, image)
            await asyncio.sleep(paths.SPACING_S)
        # The statuses of its files arrive during this pause. An earlier query would disturb them.
        await asyncio.sleep(paths.SPACING_S * 2 * len(testbed.settings.ccds))
    await testbed.collect(GOT + INGESTED, paths.files_of(testbed, images))
    return images


async def _miss(testbed: BenchmarkTestbed, images: list[str]) -> None:
    """Record exposures as missed with their events, with the same commands as the workers."""
    transaction = Transaction()
    at = time.time() - AGE_S
    for image in images:
        ImageLedger.create_unaccepted(transaction, image, ImageState.SKIPPED)
        for event in (
            StartIntegration(
                image_name=image,
                image_index=0,
                images_in_sequence=1,
                image_date="",
                exposure_time=EXPOSURE_S,
            ),
            EndReadout(image_name=image, image_index=0, images_in_sequence=1),
            HeaderReady(url=HEADER_URL.format(image=image)),
        ):
            ImageLedger.record_skipped_event(transaction, image, event, at)
    missed = [MissedImage(image, at, MissedBy.SCAN, was_skipped=True) for image in images]
    ImageLedger.record_missed(transaction, missed)
    async with testbed.redis.pipeline(transaction=True) as pipe:
        for words in transaction.commands:
            pipe.execute_command(*words)
        await pipe.execute()
