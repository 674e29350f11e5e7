"""EventIntake: camera and header events are recorded in the ledger and sent to the bridge."""

from __future__ import annotations

import asyncio
import json
import types
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import MissedBy, MissedImage
from ccarchiver_core.domain.worker_messages import ArchiveMissed, ExposureEventMessage
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_sal.adapter import Sample
from ccarchiver_sal.event_intake import EventIntake, _Batch
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.redis_helpers import (
    counter,
    end,
    eventually,
    holding,
    looking_into,
    messages_in,
    read_dead_letters,
    read_exposure,
    read_fields,
    site,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

START, END, HEADER = "startIntegration", "endReadout", "largeFileObjectAvailable"


CAMERA = "CCCamera:4711"
KEPT = 100


FIRST_AT = 1795000000.0
"""Start of the first exposure of each name (TAI, Unix s)."""


def sample(
    topic: str,
    image: str,
    number: int,
    sent_at: float | None = None,
    sender: str = CAMERA,
    acquired_at: float = FIRST_AT,
) -> Sample:
    """Return an event of an exposure; the header's checksum depends on the exposure too."""
    data = types.SimpleNamespace(
        imageName=image,
        imageIndex=0,
        imagesInSequence=1,
        imageDate="20261122",
        exposureTime=1.0,
        timestampAcquisitionStart=acquired_at,
        timestampEndOfReadout=acquired_at and acquired_at + 3,
        checkSum=f"{acquired_at}" if acquired_at else "",
        id=image,
        url=f"http://127.0.0.1:8000/{image}.yaml",
    )
    return Sample(topic, sender, number, 1000.0 + number if sent_at is None else sent_at, data)


class IntakeHarness:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.is_enabled = True
        self.is_faulted = False
        self.session_id = "the session"
        self.overflows: list[str] = []
        self.refusals: list[str] = []
        self.missed: list[str] = []
        self.intake: EventIntake | None = None
        self._number = 0

    def on_intake_overflow(self, report: str) -> None:
        self.overflows.append(report)

    def on_exposure_refused(self, report: str) -> None:
        self.refusals.append(report)

    def on_events_missed(self, report: str) -> None:
        self.missed.append(report)

    def expose(self, image: str, acquired_at: float, *topics: str) -> None:
        """Receive events of one exposure."""
        for topic in topics:
            self._number += 1
            self.receive_samples(sample(topic, image, self._number, acquired_at=acquired_at))

    def receive(self, *events: tuple[str, str]) -> None:
        for topic, image in events:
            self._number += 1
            self.receive_samples(sample(topic, image, self._number))

    def receive_samples(self, *samples: Sample) -> None:
        assert self.intake is not None
        for received in samples:
            self.intake.handle(received)

    def receive_history(self, *history: Sample, kept: int = KEPT) -> None:
        """Deliver events from the DDS history of their topic."""
        assert self.intake is not None
        self.intake.handle_history(history[0].topic, history, kept)

    async def images(self, count: int) -> list[str]:
        """Return the names of the images sent to the bridge, in order."""
        return [image for _, image, _ in await self.passed_on(count)]

    async def passed_on(self, count: int) -> list[tuple[str, str, int]]:
        async def passed() -> list[tuple[str, str, int]] | None:
            if await self.redis.xlen(Worker.BRIDGE.mailbox) < count:
                return None  # reading thousands of messages again and again is slow
            messages = [
                message
                for message in await messages_in(self.redis, Worker.BRIDGE)
                if isinstance(message, ExposureEventMessage)
            ]
            found = [(str(message.event.kind), message.obsid, message.job) for message in messages]
            return found if len(found) >= count else None

        return await eventually(passed, f"{count} messages to the bridge")

    async def buffer_empty(self) -> None:
        """Wait until Redis has confirmed all received events."""

        async def none() -> bool:
            return self.intake is not None and not self.intake._waiting

        await eventually(none, "an empty buffer")

    async def counted(self, name: str, number: int) -> None:
        async def reached() -> bool:
            return await counter(self.redis, name) >= number

        await eventually(reached, f"{number} {name}")


@asynccontextmanager
async def intake_at_work(
    settings: Settings, harness: IntakeHarness
) -> AsyncIterator[IntakeHarness]:
    """Run a new intake for the duration of a block."""
    async with holding(Worker.SAL, settings) as context:
        intake = EventIntake(context, harness)
        await intake.load()
        harness.intake = intake
        working = asyncio.create_task(intake.run())
        try:
            yield harness
        finally:
            await end(working)


@asynccontextmanager
async def one_intake(redis: PrivateRedis, **changes: object) -> AsyncIterator[IntakeHarness]:
    settings = site(redis.port, **changes)
    async with (
        looking_into(settings) as client,
        intake_at_work(settings, IntakeHarness(client)) as harness,
    ):
        yield harness


async def test_each_image_has_one_job_number_and_its_events_are_passed_on_in_order(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive(
            (START, "a"), (HEADER, "b"), (END, "a"), (START, "b"), (HEADER, "a"), (END, "b")
        )

        assert await harness.passed_on(6) == [
            (START, "a", 1),
            (HEADER, "b", 2),
            (END, "a", 1),
            (START, "b", 2),
            (HEADER, "a", 1),
            (END, "b", 2),
        ]
        record = await read_fields(harness.redis, "a")
        assert (record["state"], record["session"], record["job"]) == (
            "accepted",
            "the session",
            "1",
        )


async def test_a_repeated_event_is_counted_and_not_passed_on(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive((START, "a"), (START, "a"), (END, "a"))
            await harness.passed_on(2)
        async with intake_at_work(settings, harness):
            harness.receive((START, "a"), (END, "a"), (HEADER, "a"))
            assert await harness.passed_on(3) == [(START, "a", 1), (END, "a", 1), (HEADER, "a", 1)]
            await harness.counted("duplicate_events", 3)


async def test_events_that_never_arrived_are_reported_and_counted(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive_history(sample(START, "a", 7))
        harness.receive_samples(
            sample(START, "b", 8),
            sample(END, "b", 2),
            sample(START, "e", 11),  # those of c and d are missing
            sample(START, "e", 11),  # a repetition
            sample(START, "f", 1, sender="CCCamera:4712"),  # the camera was started again
            sample(START, "g", 3, sender="CCCamera:4712"),
        )
        await harness.counted("events_missed", 3)
        await harness.buffer_empty()

        two, one = harness.missed
        assert "2 events of CCCamera:4711 before that of e did not arrive" in two
        assert "1 event of CCCamera:4712 before that of g did not arrive" in one
        assert await counter(harness.redis, "events_missed") == 3


async def test_events_that_a_restart_missed_are_reported_though_there_is_no_history(
    fresh_redis: PrivateRedis,
) -> None:
    """A sender that is no stand-in keeps no history for this reader."""
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive_samples(sample(START, "a", 1))
            await harness.passed_on(1)
        async with intake_at_work(settings, harness):
            assert harness.intake is not None
            harness.intake.handle_history(START, [], KEPT)
            harness.receive_samples(sample(START, "d", 4))
            await harness.counted("events_missed", 2)
            await harness.buffer_empty()
        assert "2 events" in harness.missed[0]


async def test_job_numbers_continue_after_a_restart(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        for run, image in enumerate(("a", "b", "c"), 1):
            async with intake_at_work(settings, harness):
                harness.receive((START, image))
                await harness.passed_on(run)

        assert [job for _, _, job in await harness.passed_on(3)] == [1, 2, 3]


async def test_events_received_while_not_enabled_are_recorded_as_skipped(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.is_enabled = False
        harness.receive((START, "a"), (END, "a"))
        harness.is_enabled = True
        harness.receive((HEADER, "a"))  # of an image whose startIntegration was skipped
        harness.receive((START, "b"))

        assert await harness.passed_on(1) == [(START, "b", 1)]
        await harness.counted("events_skipped", 3)
        record = await read_fields(harness.redis, "a")
        assert record["state"] == "skipped"
        assert {f"skipped:{topic}" for topic in (START, END, HEADER)} <= record.keys()
        assert await ImageLedger(harness.redis).open_images() == ["b"]


async def test_skipped_image_that_starts_again_is_accepted(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.is_enabled = False
        harness.receive((START, "a"))
        harness.is_enabled = True
        harness.receive((START, "a"), (END, "a"))

        assert await harness.passed_on(2) == [(START, "a", 1), (END, "a", 1)]


async def test_an_event_without_an_image_name_is_dead_lettered(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive((START, ""), (START, "a"))

        assert await harness.passed_on(1) == [(START, "a", 1)]
        assert len(await read_dead_letters(harness.redis)) == 1


async def test_event_with_a_hostile_image_name_is_dead_lettered_and_not_recorded(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive((START, "$(reboot)"), (START, "b"))

        assert await harness.images(1) == ["b"]

        [dead_letter] = await read_dead_letters(harness.redis)
        assert b"$(reboot)" in dead_letter["raw"]
        assert b"is rejected" in dead_letter["reason"]
        assert not await harness.redis.exists(keys.image("$(reboot)"))


async def test_first_start_ignores_the_events_of_the_dds_history(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive_history(sample(START, "old", 1))
        harness.receive((START, "new"))

        assert await harness.images(1) == ["new"]
        assert await read_fields(harness.redis, "old") == {}


@pytest.mark.parametrize("enabled", [True, False])
async def test_restart_processes_the_newer_events_of_the_history_if_enabled(
    fresh_redis: PrivateRedis, *, enabled: bool
) -> None:
    settings = site(fresh_redis.port)
    names = ("ancient", "before", "missed", "now")
    ancient, before, missed, now = (
        sample(START, name, number) for number, name in enumerate(names)
    )
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive_samples(before)
            await harness.passed_on(1)
        harness.is_enabled = enabled
        async with intake_at_work(settings, harness):
            harness.receive_history(ancient, before, missed)
            harness.is_enabled = True
            harness.receive_samples(now)
            expected = [name for name in names[1:] if enabled or name != "missed"]
            assert await harness.images(len(expected)) == expected
        async with intake_at_work(settings, harness):
            harness.receive_history(ancient, before, missed, now)
            harness.receive((END, "last"))
            assert (await harness.images(len(expected) + 1))[-1] == "last"
            assert await read_fields(harness.redis, "missed") == {} or enabled, (
                "a skipped event stays skipped"
            )


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
async def test_clock_jump_of_a_sender_while_the_csc_is_stopped_loses_no_event(
    fresh_redis: PrivateRedis, jump_s: float
) -> None:
    settings = site(fresh_redis.port)
    before = [sample(START, f"before_{number}", number) for number in range(3)]
    missed = [
        sample(START, f"missed_{number}", number, 1000 + number + jump_s) for number in range(3, 6)
    ]
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive_history(before[0])  # from before the first start of this archiver
            harness.receive_samples(*before[1:])
            await harness.passed_on(2)
        async with intake_at_work(settings, harness):
            harness.receive_history(*before, *missed[:2])
            harness.receive_samples(missed[2])
            await harness.passed_on(5)
        async with intake_at_work(settings, harness):
            harness.receive_history(*before, *missed)
            harness.receive((END, "last"))
            expected = [one.data.imageName for one in [*before[1:], *missed]]
            assert await harness.images(6) == [*expected, "last"]
            assert await counter(client, "duplicate_events") == 0


async def test_events_of_a_restarted_camera_are_new_even_with_the_same_process_id(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive_samples(
                *(sample(START, f"first_{number}", number) for number in range(3))
            )
            await harness.passed_on(3)
        async with intake_at_work(settings, harness):
            harness.receive_history(
                *(sample(START, f"second_{number}", number, 5000.0) for number in range(2))
            )
            assert (await harness.images(5))[3:] == ["second_0", "second_1"]
        async with intake_at_work(settings, harness):
            third = [
                sample(START, f"third_{number}", number, 6000.0, "CCCamera:99")
                for number in range(2)
            ]
            harness.receive_history(sample(START, "second_1", 1, 5000.0), *third)
            assert (await harness.images(7))[5:] == ["third_0", "third_1"]


@pytest.mark.parametrize("is_lost", [True, False])
async def test_events_beyond_the_dds_history_are_reported_as_a_gap(
    fresh_redis: PrivateRedis, *, is_lost: bool
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive_samples(sample(START, "0", 0))
            await harness.passed_on(1)
        async with intake_at_work(settings, harness) as resumed:
            harness.receive_history(
                *(sample(START, str(number), number) for number in range(is_lost, 5)),
                kept=5 - is_lost,
            )
            assert await harness.images(5) == ["0", "1", "2", "3", "4"]
            assert resumed.intake is not None
            gaps = resumed.intake.gaps
            assert ["startIntegration" in gap and "1000.000" in gap for gap in gaps] == [
                True
            ] * is_lost


async def test_second_start_ignores_the_history_from_before_the_first_start(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive_history(sample(END, "ancient", 1))
            harness.receive((START, "a"))
            await harness.passed_on(1)
        async with intake_at_work(settings, harness):
            harness.receive_history(sample(END, "ancient", 1))
            harness.receive((HEADER, "a"))
            assert await harness.images(2) == ["a", "a"]


async def test_missed_event_of_an_accepted_image_is_recorded_in_fault(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.receive((START, "a"))
            await harness.passed_on(1)
        harness.is_enabled, harness.is_faulted = False, True
        async with intake_at_work(settings, harness):
            harness.receive_history(sample(END, "a", 1))

            async def is_kept() -> bool:
                return END in await read_fields(client, "a")

            await eventually(is_kept, "the endReadout")
            assert len(await harness.passed_on(1)) == 1


async def test_burst_of_two_thousand_events_is_recorded_complete_and_in_order(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive(*((END, f"i{number}") for number in range(2000)))

        found = await harness.passed_on(2000)

        assert [image for _, image, _ in found] == [f"i{number}" for number in range(2000)]
        assert [job for _, _, job in found] == list(range(1, 2001))


@pytest.mark.processes
async def test_events_are_buffered_in_memory_while_redis_is_stopped(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port, MAX_BUFFERED_EVENTS=5)
        async with (
            looking_into(settings) as client,
            intake_at_work(settings, IntakeHarness(client)) as harness,
        ):
            harness.receive((START, "before"))
            await harness.passed_on(1)
            await harness.buffer_empty()
            server.stop()
            harness.receive((END, "before"), *((START, f"i{number}") for number in range(6)))
            assert len(harness.overflows) == 1, "reported once"
            assert "MAX_BUFFERED_EVENTS" in harness.overflows[0]
            server.start()
            await client.connection_pool.disconnect()

            found = await harness.passed_on(6)

            assert [image for _, image, _ in found] == ["before", "before", "i0", "i1", "i2", "i3"]


async def test_intake_corrects_its_memory_when_the_ledger_differs(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive((START, "a"))
        await harness.passed_on(1)
        await harness.redis.hset(keys.image("a"), END, "{}")  # as if another process had written it
        harness.receive((END, "a"), (START, "b"))

        found = await harness.passed_on(2)

        assert [(topic, image) for topic, image, _ in found] == [(START, "a"), (START, "b")]


async def test_rest_of_an_exposure_after_a_fault_is_recorded_for_the_next_session(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive((START, "a"))
        await harness.passed_on(1)
        harness.is_enabled, harness.is_faulted = False, True
        harness.receive((END, "a"), (HEADER, "a"), (START, "b"))
        await harness.counted("events_skipped", 1)

        exposure = await read_exposure(harness.redis, "a", 9)
        assert exposure is not None
        assert exposure.end is not None
        assert exposure.header is not None
        assert len(await harness.passed_on(1)) == 1, "no event is sent before the next session"
        assert (await read_fields(harness.redis, "b"))["state"] == "skipped"


async def test_batch_whose_precondition_failed_advances_no_watermark(
    fresh_redis: PrivateRedis,
) -> None:
    """A crash between the transactions of two cameras: the second one's event is not lost."""
    settings = site(fresh_redis.port)
    async with (
        looking_into(settings) as client,
        intake_at_work(settings, IntakeHarness(client)) as harness,
    ):
        harness.receive_samples(sample(START, "a", 1, sender="first"))
        await harness.passed_on(1)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        intake = EventIntake(context, IntakeHarness(redis))
        await intake.load()
        # in the ledger, but this process does not know it
        intake.handle(sample(START, "a", 2, sender="first"))
        intake.handle(sample(START, "b", 1, sender="second"))
        applied = []

        async def crash_after_two(writing: _Batch) -> Outcome:
            applied.append(await EventIntake._apply(intake, writing))
            if len(applied) == 2:
                raise KeyboardInterrupt
            return applied[-1]

        intake._apply = crash_after_two  # type: ignore[method-assign]  # the test replaces it
        with pytest.raises(KeyboardInterrupt):
            await intake._write(list(intake._waiting))

        assert applied == [Outcome.PRECONDITION_FAILED, Outcome.APPLIED]
        watermarks = await redis.hget(keys.CSC, f"watermark:{START}")
        assert list(json.loads(watermarks or "{}")) == ["first"]


async def record_missed(harness: IntakeHarness, settings: Settings, *images: str) -> None:
    """Record images as missed, as health does after a scan."""
    async with holding(Worker.HEALTH, settings) as health:
        transaction = Transaction()
        missed = [MissedImage(image, 1.0, MissedBy.SCAN) for image in images]
        ImageLedger.record_missed(transaction, missed)
        await health.transactions.apply(transaction)
    assert await ImageLedger(harness.redis).missed_images() == list(images)


async def test_late_exposure_of_a_missed_image_is_accepted(fresh_redis: PrivateRedis) -> None:
    async with one_intake(fresh_redis) as harness:
        await record_missed(harness, site(fresh_redis.port), "i")

        harness.expose("i", 0.0, START, END)

        assert await harness.images(2) == ["i", "i"]
        assert (await read_fields(harness.redis, "i"))["state"] == "accepted"
        assert await ImageLedger(harness.redis).missed_images() == []


async def test_event_of_a_missed_image_is_kept_while_not_enabled(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        await record_missed(harness, site(fresh_redis.port), "i")
        harness.is_enabled = False

        harness.receive((START, "i"))
        await harness.buffer_empty()

        record = await read_fields(harness.redis, "i")
        assert (record["state"], "skipped:startIntegration" in record) == ("missed", True)
        assert await ImageLedger(harness.redis).missed_images() == ["i"]


async def accept_missed(harness: IntakeHarness, image: str, header_url: str = "") -> None:
    """Request the archiving of a missed image, as health does."""
    assert harness.intake is not None
    await harness.intake.accept_missed(
        ArchiveMissed(session_id="the session", obsid=image, header_url=header_url)
    )


async def test_missed_image_is_accepted_with_default_events_and_stays_in_its_night(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive((START, "live"))
        await harness.passed_on(1)
        image = "CC_O_20261122_000017"
        await record_missed(harness, site(fresh_redis.port), image)

        await accept_missed(harness, image, "http://127.0.0.1:8000/header.yaml")
        await accept_missed(harness, image)
        harness.receive((START, "next"))

        assert await harness.passed_on(5) == [
            (START, "live", 1),
            (START, image, 2),
            (END, image, 2),
            (HEADER, image, 2),
            (START, "next", 3),
        ]
        exposure = await read_exposure(harness.redis, image, 9)
        assert exposure is not None
        assert exposure.start is not None
        assert (exposure.start.image_date, exposure.start.image_index) == ("20261122", 0)
        record = await ImageLedger(harness.redis).read(image)
        assert record is not None
        assert (record.state, record.first_seen_at) == ("accepted", 1.0)
        assert record.idle_s < record.age_s + 60, "its waiting time begins now"
        assert record.caught_up_at > 1.0
        assert await ImageLedger(harness.redis).missed_images() == []
        assert await counter(harness.redis, "images_caught_up") == 1


async def test_missed_image_is_accepted_with_its_skipped_events(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.is_enabled = False
        harness.receive((START, "i"), (HEADER, "i"))
        await harness.counted("events_skipped", 2)
        async with holding(Worker.HEALTH, site(fresh_redis.port)) as health:
            transaction = Transaction()
            missed = MissedImage("i", 1.0, MissedBy.SCAN, was_skipped=True)
            ImageLedger.record_missed(transaction, [missed])
            await health.transactions.apply(transaction)
        harness.is_enabled = True

        await accept_missed(harness, "i", "http://127.0.0.1:8000/other.yaml")

        exposure = await read_exposure(harness.redis, "i", 9)
        assert exposure is not None
        assert exposure.start is not None
        assert exposure.start.images_in_sequence == 1
        assert exposure.end is not None
        assert exposure.header is not None
        assert exposure.header.url == "http://127.0.0.1:8000/i.yaml"


@pytest.mark.parametrize("topic", [END, HEADER])
async def test_event_of_a_missed_image_without_start_is_kept_for_its_catch_up(
    fresh_redis: PrivateRedis, topic: str
) -> None:
    async with one_intake(fresh_redis) as harness:
        await record_missed(harness, site(fresh_redis.port), "i")

        harness.receive((topic, "i"))
        await harness.buffer_empty()
        assert await messages_in(harness.redis, Worker.BRIDGE) == []
        assert await ImageLedger(harness.redis).missed_images() == ["i"]
        await accept_missed(harness, "i")

        exposure = await read_exposure(harness.redis, "i", 9)
        assert exposure is not None
        received = exposure.end if topic == END else exposure.header
        assert received is not None
        assert received.sent_at > 0, "the event that arrived, not a replacement"


@pytest.mark.parametrize("is_cached", [False, True])
async def test_kept_events_of_a_missed_image_are_accepted_with_its_start(
    fresh_redis: PrivateRedis, *, is_cached: bool
) -> None:
    settings = site(fresh_redis.port)
    async with one_intake(fresh_redis) as harness:
        await record_missed(harness, settings, "i")
        harness.receive((HEADER, "i"))
        await harness.buffer_empty()
        if is_cached:
            harness.receive((START, "i"), (END, "i"))
            expected = [(START, "i", 1), (HEADER, "i", 1), (END, "i", 1)]
            assert await harness.passed_on(3) == expected
    if not is_cached:
        async with looking_into(settings) as client:
            harness = IntakeHarness(client)
            async with intake_at_work(settings, harness):
                harness.receive((START, "i"))
                passed = await harness.passed_on(2)
                assert [topic for topic, _, _ in passed] == [START, HEADER]


async def test_accepted_image_without_start_gets_the_events_that_it_lacks(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive((HEADER, "i"))
        await harness.passed_on(1)

        await accept_missed(harness, "i")
        await accept_missed(harness, "i")

        assert await harness.passed_on(3) == [(HEADER, "i", 1), (START, "i", 1), (END, "i", 1)]


async def test_accepted_image_with_its_start_gets_no_other_events(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.receive((START, "i"))
        await harness.passed_on(1)

        await accept_missed(harness, "i")

        assert await harness.passed_on(1) == [(START, "i", 1)]


async def test_events_of_a_caught_up_image_that_arrive_late_are_of_the_same_exposure(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        await record_missed(harness, site(fresh_redis.port), "i")
        await accept_missed(harness, "i", "http://127.0.0.1:8000/other.yaml")

        harness.receive((START, "i"), (END, "i"), (HEADER, "i"))

        await harness.counted("duplicate_events", 3)
        assert harness.refusals == []
        assert await read_dead_letters(harness.redis) == []


@pytest.mark.parametrize(
    ("topics", "index", "exposure_time", "url"),
    [
        ((START, END, HEADER), 3, 1.0, "http://127.0.0.1:8000/i.yaml"),
        ((END,), 3, 0.0, "http://127.0.0.1:8000/other.yaml"),
        ((HEADER,), 0, 0.0, "http://127.0.0.1:8000/i.yaml"),
    ],
)
async def test_missed_image_is_accepted_with_what_the_history_has_of_it(
    fresh_redis: PrivateRedis,
    topics: tuple[str, ...],
    index: int,
    exposure_time: float,
    url: str,
) -> None:
    async with one_intake(fresh_redis) as harness:
        for topic in topics:
            sent = sample(topic, "i", 1)
            sent.data.imageIndex = 3
            harness.receive_history(sent)
        await record_missed(harness, site(fresh_redis.port), "i")

        await accept_missed(harness, "i", "http://127.0.0.1:8000/other.yaml")

        exposure = await read_exposure(harness.redis, "i", 9)
        assert exposure is not None
        assert exposure.start is not None
        assert exposure.end is not None
        assert exposure.header is not None
        assert (exposure.start.image_index, exposure.end.image_index) == (index, index)
        assert exposure.start.exposure_time == exposure_time
        assert exposure.header.url == url


async def test_events_of_the_ledger_precede_those_of_the_history_and_invalid_ones_are_left_out(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        for topic in (START, HEADER):
            sent = sample(topic, "i", 1)
            sent.data.exposureTime, sent.data.url = 7.0, "file:///etc/passwd"
            harness.receive_history(sent)
        harness.is_enabled = False
        harness.receive_samples(sample(START, "i", 2))
        await harness.counted("events_skipped", 1)
        async with holding(Worker.HEALTH, site(fresh_redis.port)) as health:
            transaction = Transaction()
            missed = MissedImage("i", 1.0, MissedBy.SCAN, was_skipped=True)
            ImageLedger.record_missed(transaction, [missed])
            await health.transactions.apply(transaction)
        harness.is_enabled = True

        await accept_missed(harness, "i")

        exposure = await read_exposure(harness.redis, "i", 9)
        assert exposure is not None
        assert exposure.start is not None
        assert exposure.start.exposure_time == 1.0
        assert exposure.header is None


@pytest.mark.parametrize("obstacle", ["not enabled", "other session", "not missed", "hostile url"])
async def test_missed_image_is_not_accepted_without_need(
    fresh_redis: PrivateRedis, obstacle: str
) -> None:
    async with one_intake(fresh_redis) as harness:
        if obstacle != "not missed":
            await record_missed(harness, site(fresh_redis.port), "i")
        harness.is_enabled = obstacle != "not enabled"
        harness.session_id = "another" if obstacle == "other session" else "the session"

        await accept_missed(harness, "i", "file:///etc/passwd")

        record = await read_fields(harness.redis, "i")
        if obstacle == "hostile url":
            assert (record["state"], HEADER in record) == ("accepted", False)
        else:
            assert record.get("state") == (None if obstacle == "not missed" else "missed")
            assert await messages_in(harness.redis, Worker.BRIDGE) == []
