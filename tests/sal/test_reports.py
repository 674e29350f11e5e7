"""One SAL event for each status, in order, none twice; and what the ledger has of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.exposure import StartIntegration
from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal.status_publisher import StatusPublisher, event_fields
from tests.core.redis_helpers import counter, holding, looking_into, mail_in, post, read_dead_letters, site

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
    """Takes the events in place of SAL; the CSC tests look at SAL itself."""

    def __init__(self) -> None:
        self.put: list[tuple[str, dict[str, str | int]]] = []
        self.refuse = False

    def put_event(self, topic: str, values: dict[str, str | int]) -> None:
        if self.refuse:
            raise ValueError("does not fit")
        self.put.append((topic, values))


class Desk:
    def __init__(self, redis: Redis, context: WorkerContext) -> None:
        self.redis = redis
        self.context = context
        self.recorder = Recorder()
        self.restart()

    def restart(self) -> None:
        """Begin anew with nothing in memory."""
        self.reports = StatusPublisher(self.context, self.recorder)  # type: ignore[arg-type]  # all that is used of the CSC

    async def report(self, *statuses: FileStatus) -> None:
        for one in statuses:
            [entry] = await post(self.redis, Worker.SAL, one)
            await self.reports.publish(one, entry)
        await self.reports.drain()

    async def accept(self) -> None:
        transaction = Transaction()
        ledger.record_event(
            transaction, ledger.ReceivedEvent(IMAGE, 1, "s", START, received_at=1.0), ImageState.ACCEPTED, is_new=True
        )
        await self.context.transactions.apply(transaction)


@asynccontextmanager
async def reports_at_work(redis: PrivateRedis) -> AsyncIterator[Desk]:
    settings = site(redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as client:
        yield Desk(client, context)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_repeated_report_gives_no_second_event_even_after_a_restart(
    fresh_redis: PrivateRedis, *, restarted: bool
) -> None:
    async with reports_at_work(fresh_redis) as desk:
        await desk.report(status())
        if restarted:
            desk.restart()
        await desk.report(status(), status())

        assert len(desk.recorder.put) == 1
        assert await counter(desk.redis, f"duplicate_statuses:{status().topic}") == 2
        assert await mail_in(desk.redis, Worker.SAL) == [], "all are settled"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_report_that_changes_and_changes_back_gives_three_events(
    fresh_redis: PrivateRedis, *, restarted: bool
) -> None:
    async with reports_at_work(fresh_redis) as desk:
        for code in (0, 5612, 0):
            await desk.report(status(code=code))
            if restarted:
                desk.restart()

        assert [values["statusCode"] for _, values in desk.recorder.put] == [0, 5612, 0]


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
async def test_a_report_that_differs_in_any_field_is_another_event(
    fresh_redis: PrivateRedis, other: FileStatus
) -> None:
    async with reports_at_work(fresh_redis) as desk:
        await desk.report(status(), other)

        assert len(desk.recorder.put) == 2


async def test_nine_files_without_raft_and_sensor_are_nine_events(fresh_redis: PrivateRedis) -> None:
    async with reports_at_work(fresh_redis) as desk:
        await desk.report(*(status("", filename=f"{sensor}.fits") for sensor in SENSORS))

        assert len(desk.recorder.put) == 9
        assert {(values["raft"], values["sensor"]) for _, values in desk.recorder.put} == {("undef", "undef")}


def test_a_missing_or_empty_raft_or_sensor_is_undefined() -> None:
    fields = event_fields(status(""))

    assert (fields["raft"], fields["sensor"]) == ("undef", "undef")


async def test_an_image_is_complete_when_all_files_are_retrieved_and_ingested(fresh_redis: PrivateRedis) -> None:
    async with reports_at_work(fresh_redis) as desk:
        await desk.accept()
        await desk.report(*(status(sensor, topic=StatusTopic.RETRIEVAL) for sensor in SENSORS))
        await desk.report(*(status(sensor) for sensor in SENSORS[:-1]), status(SENSORS[-1], code=1))
        assert await ledger.unfinished(desk.redis) == [IMAGE]

        await desk.report(status(SENSORS[-1]))

        assert await ledger.unfinished(desk.redis) == []
        assert (await ledger.read_record(desk.redis, IMAGE))["state"] == ImageState.COMPLETE


async def test_a_status_of_an_image_nobody_accepted_is_an_event_and_is_kept_as_foreign(
    fresh_redis: PrivateRedis,
) -> None:
    async with reports_at_work(fresh_redis) as desk:
        await desk.report(status())

        assert len(desk.recorder.put) == 1
        assert (await ledger.read_record(desk.redis, IMAGE))["state"] == ImageState.UNANNOUNCED
        assert await ledger.unfinished(desk.redis) == []


async def test_a_status_before_the_image_was_accepted_does_not_undo_its_acceptance(fresh_redis: PrivateRedis) -> None:
    async with reports_at_work(fresh_redis) as desk:
        await desk.report(status())
        await desk.redis.hset(f"ccarchiver:image:{IMAGE}", "state", ImageState.ACCEPTED)

        await desk.report(status("S01"))

        assert (await ledger.read_record(desk.redis, IMAGE))["state"] == ImageState.ACCEPTED


async def test_an_event_sal_refuses_is_dead_lettered_and_the_next_one_is_put(fresh_redis: PrivateRedis) -> None:
    async with reports_at_work(fresh_redis) as desk:
        desk.recorder.refuse = True
        await desk.report(status())
        desk.recorder.refuse = False
        await desk.report(status("S01"))

        [dead] = await read_dead_letters(desk.redis)
        assert b"does not fit" in dead["reason"]
        assert len(desk.recorder.put) == 1
        assert await mail_in(desk.redis, Worker.SAL) == []
