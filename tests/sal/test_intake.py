"""Camera and header events on their way into the ledger."""

from __future__ import annotations

import asyncio
import json
import types
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import ExposureEventMessage
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import ledger
from ccarchiver_core.store.transaction import Outcome
from ccarchiver_sal.adapter import Sample
from ccarchiver_sal.event_intake import EventIntake, _Batch
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.redis_helpers import counter, end, eventually, holding, looking_into, mail_in, read_dead_letters, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

START, END, HEADER = "startIntegration", "endReadout", "largeFileObjectAvailable"


CAMERA = "CCCamera:4711"
KEPT = 100


def sample(topic: str, image: str, number: int, stamp: float | None = None, sender: str = CAMERA) -> Sample:
    data = types.SimpleNamespace(
        imageName=image,
        imageIndex=0,
        imagesInSequence=1,
        imageDate="20261122",
        exposureTime=1.0,
        id=image,
        url=f"http://127.0.0.1:8000/{image}.yaml",
    )
    return Sample(topic, sender, number, 1000.0 + number if stamp is None else stamp, data)


class Desk:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.enabled = True
        self.faulted = False
        self.overflows: list[str] = []
        self.intake: EventIntake | None = None
        self._number = 0

    def hear(self, *heard: tuple[str, str]) -> None:
        for topic, image in heard:
            self._number += 1
            self.hear_sample(sample(topic, image, self._number))

    def hear_sample(self, *samples: Sample) -> None:
        assert self.intake is not None
        for one in samples:
            self.intake.handle(one)

    def find(self, *history: Sample, kept: int = KEPT) -> None:
        """Find events in the history of their topic."""
        assert self.intake is not None
        self.intake.handle_history(history[0].topic, history, kept)

    async def images(self, count: int) -> list[str]:
        """Names of the images passed on, in order."""
        return [image for _, image, _ in await self.passed_on(count)]

    async def passed_on(self, count: int) -> list[tuple[str, str, int]]:
        async def passed() -> list[tuple[str, str, int]] | None:
            if await self.redis.xlen(Worker.BRIDGE.mailbox) < count:
                return None  # to read thousands of letters again and again is slow
            letters = [
                message
                for message in await mail_in(self.redis, Worker.BRIDGE)
                if isinstance(message, ExposureEventMessage)
            ]
            found = [(str(message.event.kind), message.obsid, message.job) for message in letters]
            return found if len(found) >= count else None

        return await eventually(passed, f"{count} letters to the bridge")

    async def nothing_waits(self) -> None:
        """Wait until Redis has confirmed all that was heard."""

        async def none() -> bool:
            return self.intake is not None and not self.intake._waiting

        await eventually(none, "nothing to wait in memory")

    async def counted(self, name: str, number: int) -> None:
        async def reached() -> bool:
            return await counter(self.redis, name) >= number

        await eventually(reached, f"{number} {name}")


@asynccontextmanager
async def intake_at_work(settings: Settings, desk: Desk) -> AsyncIterator[Desk]:
    """Have a freshly started intake at work."""
    async with holding(Worker.SAL, settings) as context:
        intake = EventIntake(
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
            await desk.counted("duplicate_events", 3)


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
        assert len(await read_dead_letters(desk.redis)) == 1


async def test_an_event_with_a_hostile_name_is_dead_lettered_and_goes_no_further(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear((START, "$(reboot)"), (START, "b"))

        assert await desk.images(1) == ["b"]

        [letter] = await read_dead_letters(desk.redis)
        assert b"$(reboot)" in letter["raw"]
        assert b"is refused" in letter["reason"]
        assert not await desk.redis.exists(keys.image("$(reboot)"))


async def test_the_very_first_start_takes_nothing_from_history(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.find(sample(START, "old", 1))
        desk.hear((START, "new"))

        assert await desk.images(1) == ["new"]
        assert await ledger.read_record(desk.redis, "old") == {}


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_restart_takes_from_history_what_came_after_the_newest_it_has_if_enabled(
    fresh_redis: PrivateRedis, *, enabled: bool
) -> None:
    settings = site(fresh_redis.port)
    names = ("ancient", "before", "missed", "now")
    ancient, before, missed, now = (sample(START, name, number) for number, name in enumerate(names))
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.hear_sample(before)
            await desk.passed_on(1)
        desk.enabled = enabled
        async with intake_at_work(settings, desk):
            desk.find(ancient, before, missed)
            desk.enabled = True
            desk.hear_sample(now)
            expected = [name for name in names[1:] if enabled or name != "missed"]
            assert await desk.images(len(expected)) == expected
        async with intake_at_work(settings, desk):
            desk.find(ancient, before, missed, now)
            desk.hear((END, "last"))
            assert (await desk.images(len(expected) + 1))[-1] == "last"
            assert await ledger.read_record(desk.redis, "missed") == {} or enabled, "what was left out stays out"


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
async def test_a_sender_whose_clock_is_set_while_the_csc_is_away_loses_no_event(
    fresh_redis: PrivateRedis, step_s: float
) -> None:
    settings = site(fresh_redis.port)
    before = [sample(START, f"before_{number}", number) for number in range(3)]
    missed = [sample(START, f"missed_{number}", number, 1000 + number + step_s) for number in range(3, 6)]
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.find(before[0])  # of a time before this archiver
            desk.hear_sample(*before[1:])
            await desk.passed_on(2)
        async with intake_at_work(settings, desk):
            desk.find(*before, *missed[:2])
            desk.hear_sample(missed[2])
            await desk.passed_on(5)
        async with intake_at_work(settings, desk):
            desk.find(*before, *missed)
            desk.hear((END, "last"))
            expected = [one.data.imageName for one in [*before[1:], *missed]]
            assert await desk.images(6) == [*expected, "last"]
            assert await counter(client, "duplicate_events") == 0


async def test_all_of_a_camera_that_was_restarted_is_new_even_under_the_same_process_number(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.hear_sample(*(sample(START, f"first_{number}", number) for number in range(3)))
            await desk.passed_on(3)
        async with intake_at_work(settings, desk):
            desk.find(*(sample(START, f"second_{number}", number, 5000.0) for number in range(2)))
            assert (await desk.images(5))[3:] == ["second_0", "second_1"]
        async with intake_at_work(settings, desk):
            third = [sample(START, f"third_{number}", number, 6000.0, "CCCamera:99") for number in range(2)]
            desk.find(sample(START, "second_1", 1, 5000.0), *third)
            assert (await desk.images(7))[5:] == ["third_0", "third_1"]


@pytest.mark.parametrize("is_lost", [True, False])
async def test_more_than_dds_keeps_is_said_with_the_gap(fresh_redis: PrivateRedis, *, is_lost: bool) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.hear_sample(sample(START, "0", 0))
            await desk.passed_on(1)
        async with intake_at_work(settings, desk) as resumed:
            desk.find(*(sample(START, str(number), number) for number in range(is_lost, 5)), kept=5 - is_lost)
            assert await desk.images(5) == ["0", "1", "2", "3", "4"]
            assert resumed.intake is not None
            gaps = resumed.intake.gaps
            assert ["startIntegration" in gap and "1000.000" in gap for gap in gaps] == [True] * is_lost


async def test_history_that_was_there_at_the_first_start_is_not_taken_by_the_second_one(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.find(sample(END, "ancient", 1))
            desk.hear((START, "a"))
            await desk.passed_on(1)
        async with intake_at_work(settings, desk):
            desk.find(sample(END, "ancient", 1))
            desk.hear((HEADER, "a"))
            assert await desk.images(2) == ["a", "a"]


async def test_what_comes_in_fault_while_the_csc_is_away_is_kept_for_an_image_that_was_accepted(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        desk = Desk(client)
        async with intake_at_work(settings, desk):
            desk.hear((START, "a"))
            await desk.passed_on(1)
        desk.enabled, desk.faulted = False, True
        async with intake_at_work(settings, desk):
            desk.find(sample(END, "a", 1))

            async def is_kept() -> bool:
                return END in await ledger.read_record(client, "a")

            await eventually(is_kept, "the endReadout")
            assert len(await desk.passed_on(1)) == 1


async def test_a_burst_of_two_thousand_events_is_written_whole_and_in_order(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as desk:
        desk.hear(*((END, f"i{number}") for number in range(2000)))

        found = await desk.passed_on(2000)

        assert [image for _, image, _ in found] == [f"i{number}" for number in range(2000)]
        assert [job for _, _, job in found] == list(range(1, 2001))


@pytest.mark.processes
async def test_events_wait_in_memory_while_redis_is_away(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port, MAX_BUFFERED_EVENTS=5)
        async with looking_into(settings) as client, intake_at_work(settings, Desk(client)) as desk:
            desk.hear((START, "before"))
            await desk.passed_on(1)
            await desk.nothing_waits()
            server.stop()
            desk.hear((END, "before"), *((START, f"i{number}") for number in range(6)))
            assert len(desk.overflows) == 1, "said once"
            assert "MAX_BUFFERED_EVENTS" in desk.overflows[0]
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


async def test_a_batch_that_is_refused_marks_nothing_as_written(fresh_redis: PrivateRedis) -> None:
    """Two cameras in one batch, and a death between the single steps: the second one's event is not lost."""
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client, intake_at_work(settings, Desk(client)) as desk:
        desk.hear_sample(sample(START, "a", 1, sender="first"))
        await desk.passed_on(1)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        intake = EventIntake(context, lambda: True, lambda: False, lambda: "the session", print)
        await intake.load()
        intake.handle(sample(START, "a", 2, sender="first"))  # it is known, but not to this process
        intake.handle(sample(START, "b", 1, sender="second"))
        applied = []

        async def dies_after_two(writing: _Batch) -> Outcome:
            applied.append(await EventIntake._apply(intake, writing))
            if len(applied) == 2:
                raise KeyboardInterrupt
            return applied[-1]

        intake._apply = dies_after_two  # type: ignore[method-assign]  # that is the point
        with pytest.raises(KeyboardInterrupt):
            await intake._write(list(intake._waiting))

        assert applied == [Outcome.PRECONDITION_FAILED, Outcome.APPLIED]
        marked = await redis.hget(keys.CSC, f"heard:{START}")
        assert list(json.loads(marked or "{}")) == ["first"]
