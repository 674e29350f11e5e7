"""Camera and header events on their way into the ledger."""

from __future__ import annotations

import asyncio
import types
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys, ledger
from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import ExposureMail
from ccarchiver_sal.adapter import Sample
from ccarchiver_sal.intake import Intake
from ccarchiver_sim.brokers import PrivateRedis
from tests.core.place import counter, dead_letters, end, eventually, holding, looking_into, mail_in, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_core.settings import Settings

START, END, HEADER = "startIntegration", "endReadout", "largeFileObjectAvailable"


def sample(topic: str, image: str, stamp: float, *, history: bool = False) -> Sample:
    data = types.SimpleNamespace(
        imageName=image,
        imageIndex=0,
        imagesInSequence=1,
        imageDate="20261122",
        exposureTime=1.0,
        id=image,
        url=f"http://127.0.0.1:8000/{image}.yaml",
    )
    return Sample(topic, stamp, data, history)


class Desk:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.enabled = True
        self.faulted = False
        self.overflows: list[str] = []
        self.intake: Intake | None = None
        self._stamp = 1000.0

    def hear(self, *heard: tuple[str, str], history: bool = False, stamp: float | None = None) -> None:
        assert self.intake is not None
        for topic, image in heard:
            self._stamp += 1
            self.intake.handle(sample(topic, image, stamp or self._stamp, history=history))

    async def passed_on(self, count: int) -> list[tuple[str, str, int]]:
        async def passed() -> list[tuple[str, str, int]] | None:
            letters = [mail for mail in await mail_in(self.redis, Worker.BRIDGE) if isinstance(mail, ExposureMail)]
            found = [(str(mail.event.kind), mail.obsid, mail.job) for mail in letters]
            return found if len(found) >= count else None

        return await eventually(passed, f"{count} letters to the bridge")

    async def counted(self, name: str, number: int) -> None:
        async def reached() -> bool:
            return await counter(self.redis, name) >= number

        await eventually(reached, f"{number} {name}")


@asynccontextmanager
async def intake_at_work(settings: Settings, desk: Desk) -> AsyncIterator[Desk]:
    """Have a freshly started intake at work."""
    async with holding(Worker.SAL, settings) as context:
        intake = Intake(
            context, lambda: desk.enabled, lambda: desk.faulted, lambda: "the session", desk.overflows.append
        )
        await intake.load()
        desk.intake = intake
        working = asyncio.create_task(intake.run())
        try:
            yield desk
        finally:
            await end(working)


@asynccontextmanager
async def one_intake(redis: PrivateRedis, **changes: object) -> AsyncIterator[Desk]:
    settings = site(redis.port, **changes)
    async with looking_into(settings) as client, intake_at_work(settings, Desk(client)) as desk:
        yield desk


async def test_each_image_has_one_job_number_and_its_events_are_passed_on_in_order(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear((START, "a"), (HEADER, "b"), (END, "a"), (START, "b"), (HEADER, "a"), (END, "b"))

        assert await desk.passed_on(6) == [
            (START, "a", 1),
            (HEADER, "b", 2),
            (END, "a", 1),
            (START, "b", 2),
            (HEADER, "a", 1),
            (END, "b", 2),
        ]
        record = await ledger.read_record(desk.redis, "a")
        assert (record["state"], record["session"], record["job"]) == ("accepted", "the session", "1")


async def test_a_repeated_event_is_counted_and_not_passed_on(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.hear((START, "a"), (START, "a"), (END, "a"))
            await desk.passed_on(2)
        async with intake_at_work(settings, desk):
            desk.hear((START, "a"), (END, "a"), (HEADER, "a"))
            assert await desk.passed_on(3) == [(START, "a", 1), (END, "a", 1), (HEADER, "a", 1)]
            await desk.counted("events_repeated", 3)


async def test_job_numbers_go_on_after_a_restart(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        for run, image in enumerate(("a", "b", "c"), 1):
            async with intake_at_work(settings, desk):
                desk.hear((START, image))
                await desk.passed_on(run)

        assert [job for _, _, job in await desk.passed_on(3)] == [1, 2, 3]


async def test_events_that_come_when_not_enabled_are_in_the_ledger_as_skipped(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.enabled = False
        desk.hear((START, "a"), (END, "a"))
        desk.enabled = True
        desk.hear((HEADER, "a"))  # of an image whose beginning was skipped
        desk.hear((START, "b"))

        assert await desk.passed_on(1) == [(START, "b", 1)]
        await desk.counted("events_skipped", 3)
        record = await ledger.read_record(desk.redis, "a")
        assert record["state"] == "skipped"
        assert {f"skipped:{topic}" for topic in (START, END, HEADER)} <= record.keys()
        assert await ledger.unfinished(desk.redis) == ["b"]


async def test_an_image_that_begins_anew_after_it_was_skipped_is_accepted(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.enabled = False
        desk.hear((START, "a"))
        desk.enabled = True
        desk.hear((START, "a"), (END, "a"))

        assert await desk.passed_on(2) == [(START, "a", 1), (END, "a", 1)]


async def test_an_event_without_an_image_name_is_dead_lettered(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear((START, ""), (START, "a"))

        assert await desk.passed_on(1) == [(START, "a", 1)]
        assert len(await dead_letters(desk.redis)) == 1


async def test_the_very_first_start_takes_nothing_from_history(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear((START, "old"), (END, "old"), history=True)
        desk.hear((START, "new"))

        assert await desk.passed_on(1) == [(START, "new", 1)]
        assert await ledger.read_record(desk.redis, "old") == {}


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_restart_takes_from_history_what_is_newer_than_the_newest_it_has_if_enabled(
    fresh_redis: PrivateRedis, *, enabled: bool
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.hear((START, "before"), stamp=100)
            await desk.passed_on(1)
        desk.enabled = enabled
        async with intake_at_work(settings, desk):
            desk.hear((START, "ancient"), history=True, stamp=50)
            desk.hear((START, "before"), history=True, stamp=100)
            desk.hear((START, "missed"), history=True, stamp=150)
            desk.enabled = True
            desk.hear((START, "now"), stamp=200)
            images = [image for _, image, _ in await desk.passed_on(3 if enabled else 2)]

        assert images == (["before", "missed", "now"] if enabled else ["before", "now"])


async def test_history_that_was_there_at_the_first_start_is_not_taken_by_the_second_one(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.hear((END, "ancient"), history=True, stamp=50)
            desk.hear((START, "a"))
            await desk.passed_on(1)
        async with intake_at_work(settings, desk):
            desk.hear((END, "ancient"), history=True, stamp=50)
            desk.hear((HEADER, "a"))
            images = [image for _, image, _ in await desk.passed_on(2)]

        assert images == ["a", "a"]


async def test_a_burst_of_two_thousand_events_is_written_whole_and_in_order(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear(*((END, f"i{number}") for number in range(2000)))

        found = await desk.passed_on(2000)

        assert [image for _, image, _ in found] == [f"i{number}" for number in range(2000)]
        assert [job for _, _, job in found] == list(range(1, 2001))


async def test_events_wait_in_memory_while_redis_is_away(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port, MAX_MEMORY_EVENTS=5)
        async with looking_into(settings) as client, intake_at_work(settings, Desk(client)) as desk:
            desk.hear((START, "before"))
            await desk.passed_on(1)
            server.stop()
            desk.hear((END, "before"), *((START, f"i{number}") for number in range(6)))
            assert len(desk.overflows) == 1, "said once"
            assert "MAX_MEMORY_EVENTS" in desk.overflows[0]
            server.start()
            await client.connection_pool.disconnect()

            found = await desk.passed_on(6)

            assert [image for _, image, _ in found] == ["before", "before", "i0", "i1", "i2", "i3"]


async def test_memory_that_is_wrong_about_the_ledger_is_corrected(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear((START, "a"))
        await desk.passed_on(1)
        await desk.redis.hset(keys.image("a"), END, "{}")  # as if another process had written it
        desk.hear((END, "a"), (START, "b"))

        found = await desk.passed_on(2)

        assert [(topic, image) for topic, image, _ in found] == [(START, "a"), (START, "b")]


async def test_a_fault_in_the_middle_of_an_exposure_keeps_the_rest_of_it_for_the_next_session(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear((START, "a"))
        await desk.passed_on(1)
        desk.enabled, desk.faulted = False, True
        desk.hear((END, "a"), (HEADER, "a"), (START, "b"))
        await desk.counted("events_skipped", 1)

        exposure = await ledger.read_exposure(desk.redis, "a", 9)
        assert exposure is not None
        assert exposure.end is not None
        assert exposure.header is not None
        assert len(await desk.passed_on(1)) == 1, "nothing is sent before the next session"
        assert (await ledger.read_record(desk.redis, "b"))["state"] == "skipped"
