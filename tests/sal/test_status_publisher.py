"""StatusPublisher: one SAL event for each status, in order and not repeated, and its record."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.exposure import StartIntegration
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage, ReceivedEvent
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal.status_publisher import StatusPublisher, event_fields
from tests.core.redis_helpers import (
    counter,
    enqueue,
    holding,
    looking_into,
    messages_in,
    read_dead_letters,
    read_fields,
    site,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sim.testbed.brokers import PrivateRedis

IMAGE = "CC_O_20261122_735514"
SENSORS = ("S00", "S01", "S02", "S10", "S11", "S12", "S20", "S21", "S22")
START = StartIntegration(
    image_name=IMAGE, image_index=0, images_in_sequence=1, image_date="20261122", exposure_time=1.0
)


def status(
    sensor: str = "S00",
    *,
    topic: StatusTopic = StatusTopic.IN_OODS,
    code: int = 0,
    description: str = "ok",
    filename: str = "",
) -> FileStatus:
    return FileStatus(
        topic=topic,
        camera="COMCAM",
        archiver="CCArchiver",
        obsid=IMAGE,
        raft="22" if sensor else "",
        sensor=sensor,
        filename=filename or f"{IMAGE}-{sensor}.fits",
        status_code=code,
        description=description,
    )


class Recorder:
    """Records the events in place of SAL. The tests of the CSC use real SAL."""

    def __init__(self) -> None:
        self.put: list[tuple[str, dict[str, str | int]]] = []
        self.reject = False

    async def put_event(self, topic: str, values: dict[str, str | int]) -> None:
        if self.reject:
            raise ValueError("does not fit")
        self.put.append((topic, values))


class PublisherHarness:
    def __init__(self, redis: Redis, context: WorkerContext) -> None:
        self.redis = redis
        self.context = context
        self.recorder = Recorder()
        self.restart()

    def restart(self) -> None:
        """Replace the publisher by a new one with an empty cache."""
        self.publisher = StatusPublisher(self.context, self.recorder)  # type: ignore[arg-type]  # partial CSC

    async def publish(self, *statuses: FileStatus) -> None:
        for status in statuses:
            [entry] = await enqueue(self.redis, Worker.SAL, status)
            await self.publisher.publish(status, entry)
        await self.publisher.drain()

    async def accept(self) -> None:
        transaction = Transaction()
        ImageLedger.record_event(
            transaction,
            ReceivedEvent(IMAGE, 1, "s", START, received_at=1.0),
            ImageState.ACCEPTED,
            is_new=True,
        )
        await self.context.transactions.apply(transaction)


@asynccontextmanager
async def publisher_at_work(
    redis: PrivateRedis, **changes: object
) -> AsyncIterator[PublisherHarness]:
    settings = site(redis.port, **changes)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as client:
        yield PublisherHarness(client, context)


@pytest.mark.parametrize("restarted", [False, True])
async def test_repeated_status_publishes_no_second_event_even_after_a_restart(
    fresh_redis: PrivateRedis, *, restarted: bool
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        await harness.publish(status())
        if restarted:
            harness.restart()
        await harness.publish(status(), status())

        assert len(harness.recorder.put) == 1
        assert await counter(harness.redis, f"duplicate_statuses:{status().topic}") == 2
        assert await messages_in(harness.redis, Worker.SAL) == [], "all are acked"


@pytest.mark.parametrize("restarted", [False, True])
async def test_status_that_changes_and_changes_back_publishes_three_events(
    fresh_redis: PrivateRedis, *, restarted: bool
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        for code in (0, 5612, 0):
            await harness.publish(status(code=code))
            if restarted:
                harness.restart()

        assert [values["statusCode"] for _, values in harness.recorder.put] == [0, 5612, 0]


@pytest.mark.parametrize(
    "other",
    [
        status(description="another"),
        status(code=1),
        status("S01"),
        status(topic=StatusTopic.RETRIEVAL),
        status(filename="another.fits"),
        status().model_copy(update={"camera": "another"}),
        status().model_copy(update={"archiver": "another"}),
    ],
)
async def test_status_that_differs_in_any_field_is_another_event(
    fresh_redis: PrivateRedis, other: FileStatus
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        await harness.publish(status(), other)

        assert len(harness.recorder.put) == 2


async def test_nine_files_without_raft_and_sensor_are_nine_events(
    fresh_redis: PrivateRedis,
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        await harness.publish(*(status("", filename=f"{sensor}.fits") for sensor in SENSORS))

        assert len(harness.recorder.put) == 9
        assert {(values["raft"], values["sensor"]) for _, values in harness.recorder.put} == {
            ("undef", "undef")
        }


def test_missing_raft_and_sensor_are_published_as_undef() -> None:
    fields = event_fields(status(""))

    assert (fields["raft"], fields["sensor"]) == ("undef", "undef")


async def test_an_image_is_complete_when_all_files_are_retrieved_and_ingested(
    fresh_redis: PrivateRedis,
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        await harness.accept()
        await harness.publish(*(status(sensor, topic=StatusTopic.RETRIEVAL) for sensor in SENSORS))
        await harness.publish(
            *(status(sensor) for sensor in SENSORS[:-1]), status(SENSORS[-1], code=1)
        )
        assert await ImageLedger(harness.redis).open_images() == [IMAGE]

        await harness.publish(status(SENSORS[-1]))

        assert await ImageLedger(harness.redis).open_images() == []
        assert (await read_fields(harness.redis, IMAGE))["state"] == ImageState.COMPLETE


async def test_status_of_an_unaccepted_image_is_published_and_recorded_as_unannounced(
    fresh_redis: PrivateRedis,
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        await harness.publish(status())

        assert len(harness.recorder.put) == 1
        assert (await read_fields(harness.redis, IMAGE))["state"] == ImageState.UNANNOUNCED
        assert await ImageLedger(harness.redis).open_images() == []


async def test_a_status_before_the_image_was_accepted_does_not_undo_its_acceptance(
    fresh_redis: PrivateRedis,
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        await harness.publish(status())
        await harness.redis.hset(f"ccarchiver:image:{IMAGE}", "state", ImageState.ACCEPTED)

        await harness.publish(status("S01"))

        assert (await read_fields(harness.redis, IMAGE))["state"] == ImageState.ACCEPTED


async def test_event_that_sal_rejects_is_dead_lettered_and_the_next_one_is_published(
    fresh_redis: PrivateRedis,
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        harness.recorder.reject = True
        await harness.publish(status())
        harness.recorder.reject = False
        await harness.publish(status("S01"))

        [dead] = await read_dead_letters(harness.redis)
        assert b"does not fit" in dead["reason"]
        assert len(harness.recorder.put) == 1
        assert await messages_in(harness.redis, Worker.SAL) == []


async def test_missed_image_that_another_archiver_archives_becomes_complete(
    fresh_redis: PrivateRedis,
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        async with holding(Worker.HEALTH, site(fresh_redis.port)) as health:
            transaction = Transaction()
            missed = MissedImage(IMAGE, 1.0, MissedBy.SCAN)
            ImageLedger.record_missed(transaction, [missed])
            await health.transactions.apply(transaction)
        for topic in StatusTopic:
            await harness.publish(*(status(sensor, topic=topic) for sensor in SENSORS))

        assert (await read_fields(harness.redis, IMAGE))["state"] == ImageState.COMPLETE
        assert await ImageLedger(harness.redis).missed_images() == []


@pytest.mark.parametrize(
    ("limit_s", "age_s", "has_events"),
    [(3600, 7200, False), (3600, 1800, True), (0, 7200, True)],
)
async def test_old_image_is_caught_up_without_events_if_the_site_has_a_limit(
    fresh_redis: PrivateRedis, limit_s: float, age_s: float, *, has_events: bool
) -> None:
    async with publisher_at_work(fresh_redis, CATCH_UP_EVENTS_MAX_AGE=limit_s) as harness:
        missed, accepted = Transaction(), Transaction()
        image = MissedImage(IMAGE, time.time() - age_s, MissedBy.SCAN)
        ImageLedger.record_missed(missed, [image])
        ImageLedger.accept_missed(accepted, IMAGE, job=1, session_id="s", events=[START])
        await harness.context.transactions.apply(missed)
        await harness.context.transactions.apply(accepted)

        await harness.publish(
            *(status(sensor, topic=topic) for topic in StatusTopic for sensor in SENSORS)
        )

        count = len(StatusTopic) * len(SENSORS) if has_events else 0
        assert len(harness.recorder.put) == count
        record = await ImageLedger(harness.redis).read(IMAGE)
        assert record is not None
        assert record.state is ImageState.COMPLETE
        assert await counter(harness.redis, f"events:{StatusTopic.IN_OODS}") == count // 2
