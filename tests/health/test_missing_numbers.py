"""Images whose numbers are missing are recorded as missed without a scan."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.domain.exposure import StartIntegration
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage, ReceivedEvent
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.reconcile.missing_numbers import MAX_RECORDED, MissingNumbers
from tests.core.redis_helpers import counter, holding, read_fields, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sim.testbed.brokers import PrivateRedis

AGE_S = 3600.0
"""Age of the images: above the grace time of a gap."""


def name(number: int, prefix: str = "CC_O_20261122_") -> str:
    """Return the name of an image."""
    return f"{prefix}{number:06d}"


class NumbersHarness:
    """The search for gaps, and the CSC, which accepts images."""

    def __init__(self, health: WorkerContext, sal: WorkerContext) -> None:
        self.redis = health.redis
        self.ledger = ImageLedger(health.redis)
        self.numbers = MissingNumbers(health)
        self._health = health
        self._sal = sal
        self._job = 0

    async def accept(self, *names: str, age_s: float = AGE_S) -> None:
        """Record images that the CSC has accepted."""
        transaction = Transaction()
        for obsid in names:
            self._job += 1
            start = StartIntegration(
                image_name=obsid,
                image_index=0,
                images_in_sequence=1,
                image_date="20261122",
                exposure_time=1.0,
            )
            received = ReceivedEvent(obsid, self._job, "s", start, time.time() - age_s)
            ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=True)
        await self._sal.transactions.apply(transaction)


@asynccontextmanager
async def searching(redis: PrivateRedis, **changes: object) -> AsyncIterator[NumbersHarness]:
    """Return the search for gaps on an empty ledger for the duration of a block."""
    settings = site(redis.port, **changes)
    async with holding(Worker.HEALTH, settings) as health, holding(Worker.SAL, settings) as sal:
        yield NumbersHarness(health, sal)


async def test_images_of_a_gap_are_recorded_once_with_the_time_of_the_image_before(
    fresh_redis: PrivateRedis,
) -> None:
    async with searching(fresh_redis) as harness:
        await harness.accept(name(17), age_s=2 * AGE_S)
        await harness.accept(name(20))
        with structlog.testing.capture_logs() as lines:
            assert await harness.numbers.record() == 2
            assert await harness.numbers.record() == 0

        assert await harness.ledger.missed_images() == [name(18), name(19)]
        record = await harness.ledger.read(name(18))
        assert record is not None
        assert (record.state, record.missed_by) == (ImageState.MISSED, "numbers")
        before = await harness.ledger.read(name(17))
        assert before is not None
        assert abs(record.first_seen_at - before.first_seen_at) < 0.01
        [line] = [line for line in lines if line["event"] == "images.missed"]
        assert (line["count"], line["first"], line["last"]) == (2, name(18), name(19))
        assert await counter(harness.redis, "images_missed") == 2


async def test_numbers_before_the_first_one_and_names_of_others_are_no_gap(
    fresh_redis: PrivateRedis,
) -> None:
    async with searching(fresh_redis) as harness:
        await harness.accept(name(17), name(18))
        await harness.accept(name(1, "AT_O_20261122_"), name(3, "AT_O_20261122_"))

        assert await harness.numbers.record() == 0


async def test_gap_counts_after_a_grace_time(fresh_redis: PrivateRedis) -> None:
    async with searching(fresh_redis) as harness:
        await harness.accept(name(1), name(3), age_s=0.0)

        assert await harness.numbers.record(grace_s=60.0) == 0
        assert await harness.numbers.record(grace_s=0.0) == 1


async def test_gap_longer_than_a_night_is_logged_and_not_recorded(
    fresh_redis: PrivateRedis,
) -> None:
    async with searching(fresh_redis) as harness:
        await harness.accept(name(1), name(MAX_RECORDED + 3), name(MAX_RECORDED + 5))
        with structlog.testing.capture_logs() as lines:
            assert await harness.numbers.record() == 1
            assert await harness.numbers.record() == 0

        assert await harness.ledger.missed_images() == [name(MAX_RECORDED + 4)]
        [line] = [line for line in lines if line["event"] == "images.numbers_jumped"]
        assert line["count"] == MAX_RECORDED + 1


async def test_image_that_is_skipped_is_not_missing(fresh_redis: PrivateRedis) -> None:
    async with searching(fresh_redis) as harness:
        await harness.accept(name(1), name(3))
        transaction = Transaction()
        ImageLedger.create_unaccepted(transaction, name(2), ImageState.SKIPPED)
        await harness._sal.transactions.apply(transaction)

        assert await harness.numbers.record() == 0
        assert (await read_fields(harness.redis, name(2)))["state"] == "skipped"


async def test_name_that_only_a_scan_has_listed_ends_no_gap(fresh_redis: PrivateRedis) -> None:
    async with searching(fresh_redis) as harness:
        await harness.accept(name(1), name(5))
        listed = [
            MissedImage(name(number), time.time() - AGE_S, MissedBy.SCAN) for number in (3, 900)
        ]
        transaction = Transaction()
        ImageLedger.record_missed(transaction, listed)
        await harness._health.transactions.apply(transaction)

        assert await harness.numbers.record() == 2
        assert sorted(await harness.ledger.missed_images()) == [
            name(number) for number in (2, 3, 4, 900)
        ]
        await harness.accept(name(902))
        assert await harness.numbers.record() == 895


async def test_full_ledger_has_no_gaps(fresh_redis: PrivateRedis) -> None:
    async with searching(fresh_redis, MAX_LEDGER_IMAGES=2) as harness:
        await harness.accept(name(1), name(3))

        assert await harness.numbers.record() == 0
