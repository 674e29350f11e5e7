"""EventIntake: an exposure with an image name that was used before is refused, not ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.base.clock import utc_text
from ccarchiver_core.domain.exposure import EventKind
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.worker_messages import ArchiveMissed
from ccarchiver_core.keys import Worker
from ccarchiver_core.status.alarms import AlarmName, Severity, alarms_of
from ccarchiver_core.status.images import observing_day
from ccarchiver_core.status.night import read_night
from ccarchiver_core.status.overview import collect
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Outcome, Transaction
from tests.core.redis_helpers import (
    counter,
    holding,
    looking_into,
    read_dead_letters,
    read_fields,
    site,
)
from tests.sal.test_event_intake import (
    END,
    FIRST_AT,
    HEADER,
    START,
    IntakeHarness,
    intake_at_work,
    one_intake,
    sample,
)
from tests.support.ledger_builder import LedgerBuilder

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_record import ImageRecord
    from ccarchiver_sim.testbed.brokers import PrivateRedis

TOPICS = (START, END, HEADER)
AGAIN_AT = FIRST_AT + 3600
UNKNOWN = 0.0
"""What a camera that does not measure the time of an exposure sends."""


async def record_of(harness: IntakeHarness, image: str = "a") -> ImageRecord:
    record = await ImageLedger(harness.redis).read(image)
    assert record is not None
    return record


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_second_exposure_of_a_name_is_refused_and_the_first_is_not_changed(
    fresh_redis: PrivateRedis, *, is_restarted: bool
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as client:
        harness = IntakeHarness(client)
        async with intake_at_work(settings, harness):
            harness.expose("a", FIRST_AT, *TOPICS)
            await harness.passed_on(3)
            before = await read_fields(client, "a")
            if not is_restarted:
                harness.expose("a", AGAIN_AT, *TOPICS)
                await harness.buffer_empty()
        if is_restarted:
            async with intake_at_work(settings, harness):
                harness.expose("a", AGAIN_AT, *TOPICS)
                await harness.buffer_empty()

        after = await read_fields(client, "a")
        record = await record_of(harness)
        [refused] = record.refused
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) == {"refused:1"}
        assert set(refused.events) == set(EventKind)
        assert "timestampAcquisitionStart" in refused.reason
        dead = await read_dead_letters(client)
        assert [(one["origin"], one["obsid"]) for one in dead] == [
            (f"SAL {topic}".encode(), b"a") for topic in TOPICS
        ]
        both = (utc_text(record.first_seen_at), utc_text(refused.refused_at))
        assert all(time.encode() in one["reason"] for one in dead for time in both)
        assert len(await harness.passed_on(3)) == 3, "no event of it is sent to the bridge"
        assert await counter(client, "exposures_refused") == 1
        assert await counter(client, "duplicate_events") == 0
        [report] = harness.refusals
        assert all(time in report for time in both)


async def test_second_exposure_raises_a_critical_alarm_and_makes_the_night_incomplete(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with (
        looking_into(settings) as client,
        intake_at_work(settings, IntakeHarness(client)) as harness,
    ):
        harness.expose("a", FIRST_AT, *TOPICS)
        await harness.passed_on(3)
        harness.expose("a", AGAIN_AT, START)
        await harness.buffer_empty()

        record = await record_of(harness)
        [alarm] = [
            alarm
            for alarm in alarms_of(await collect(client, settings))
            if alarm.name == AlarmName.OBSID_REUSED
        ]
        night = await read_night(client, observing_day(record.first_seen_at), 9)

        assert alarm.severity is Severity.CRITICAL
        assert utc_text(record.first_seen_at) in alarm.text
        assert utc_text(record.refused[0].refused_at) in alarm.text
        assert (night.refused, night.is_complete) == (["a"], False)


@pytest.mark.parametrize("acquired_at", [FIRST_AT, UNKNOWN])
async def test_event_that_is_put_again_for_the_same_exposure_is_a_duplicate(
    fresh_redis: PrivateRedis, acquired_at: float
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.expose("a", acquired_at, START, START, END, END, HEADER, HEADER)
        await harness.counted("duplicate_events", 3)

        assert (await record_of(harness)).refused == []
        assert await read_dead_letters(harness.redis) == []


async def test_same_sample_from_the_dds_history_is_a_duplicate_without_a_time_of_exposure(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        first = [
            sample(topic, "a", number, acquired_at=UNKNOWN) for number, topic in enumerate(TOPICS)
        ]
        harness.receive_samples(*first, *first)
        await harness.counted("duplicate_events", 3)

        assert (await record_of(harness)).refused == []


async def test_name_used_again_by_a_camera_without_times_of_exposures_is_refused(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.expose("a", UNKNOWN, *TOPICS)
        await harness.passed_on(3)
        harness.expose("a", UNKNOWN, *TOPICS)
        await harness.buffer_empty()

        [refused] = (await record_of(harness)).refused
        assert set(refused.events) == set(EventKind)
        assert "endReadout of the first exposure" in refused.reason


async def test_events_of_a_refused_exposure_do_not_complete_an_aborted_first_one(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.expose("a", FIRST_AT, START)
        await harness.passed_on(1)
        harness.expose("a", AGAIN_AT, *TOPICS)
        await harness.buffer_empty()
        harness.expose("a", FIRST_AT, END)  # late, but by its own time of the first exposure

        assert [topic for topic, _, _ in await harness.passed_on(2)] == [START, END]
        record = await record_of(harness)
        assert set(record.events) == {EventKind.START, EventKind.END}
        assert set(record.refused[0].events) == set(EventKind)


async def test_each_further_exposure_of_a_name_is_refused_and_repeated_events_of_it_are_not(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        for acquired_at in (FIRST_AT, AGAIN_AT, AGAIN_AT + 60, AGAIN_AT):
            harness.expose("a", acquired_at, *TOPICS)
        await harness.counted("duplicate_events", 3)

        record = await record_of(harness)
        assert [refused.number for refused in record.refused] == [1, 2]
        assert await counter(harness.redis, "exposures_refused") == 2


async def test_second_exposure_while_not_enabled_is_skipped_without_an_alarm(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with (
        looking_into(settings) as client,
        intake_at_work(settings, IntakeHarness(client)) as harness,
    ):
        harness.expose("a", FIRST_AT, *TOPICS)
        await harness.passed_on(3)
        before = await read_fields(client, "a")
        harness.is_enabled = False
        harness.expose("a", AGAIN_AT, START)
        harness.is_enabled = True
        harness.expose("a", AGAIN_AT, END, HEADER)
        await harness.counted("events_skipped", 3)

        after = await read_fields(client, "a")
        view = await collect(client, settings)
        night = await read_night(client, observing_day(view.at), 9)
        assert {name: after[name] for name in before} == before
        assert view.refused == []
        assert await read_dead_letters(client) == []
        assert (night.skipped, night.refused, night.is_complete) == (["a"], [], False)


async def test_exposure_of_a_name_that_was_only_skipped_before_is_accepted(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.is_enabled = False
        harness.expose("a", FIRST_AT, *TOPICS)
        harness.is_enabled = True
        harness.expose("a", AGAIN_AT, *TOPICS)

        assert [topic for topic, _, _ in await harness.passed_on(3)] == list(TOPICS)
        assert (await record_of(harness)).refused == []
        assert await read_dead_letters(harness.redis) == []


async def test_header_that_is_written_again_is_not_another_exposure(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.expose("a", FIRST_AT, *TOPICS)
        await harness.passed_on(3)
        harness.expose("a", AGAIN_AT, HEADER)  # the same url, another checksum
        await harness.counted("duplicate_events", 1)

        assert (await record_of(harness)).refused == []


async def test_deletion_of_an_image_record_deletes_its_refused_exposures(
    fresh_redis: PrivateRedis,
) -> None:
    async with one_intake(fresh_redis) as harness:
        harness.expose("a", FIRST_AT, START)
        harness.expose("a", AGAIN_AT, START)
        await harness.counted("exposures_refused", 1)
        assert harness.intake is not None
        ledger = ImageLedger(harness.redis)
        assert len(await ledger.read_refused(0, 1e12)) == 1

        transaction = Transaction()
        ImageLedger.delete(transaction, "a")
        await LedgerBuilder(harness.redis, site(fresh_redis.port)).write(transaction)

        assert await harness.redis.keys("*refused*") == []


AFTER_THE_SCAN_S = 60.0
"""Begin of a later exposure after the scan: more than TAI is ahead of UTC."""


async def miss(harness: IntakeHarness, settings: Settings, image: str) -> float:
    """Record an image as missed, as health does after a scan, and return the time."""
    async with holding(Worker.HEALTH, settings) as health:
        transaction = Transaction()
        record = await ImageLedger(harness.redis).read(image)
        missed = MissedImage(image, 1.0, MissedBy.SCAN, was_skipped=record is not None)
        ImageLedger.record_missed(transaction, [missed])
        assert await health.transactions.apply(transaction) is Outcome.APPLIED
    return (await record_of(harness, image)).missed_at


@pytest.mark.parametrize("is_skipped", [False, True])
async def test_exposure_with_the_name_of_a_missed_one_is_refused_and_the_missed_one_stays(
    fresh_redis: PrivateRedis, *, is_skipped: bool
) -> None:
    settings = site(fresh_redis.port)
    async with one_intake(fresh_redis) as harness:
        if is_skipped:
            harness.is_enabled = False
            harness.expose("a", FIRST_AT, *TOPICS)
            await harness.buffer_empty()
            harness.is_enabled = True
        listed_at = await miss(harness, settings, "a")

        harness.expose("a", listed_at + AFTER_THE_SCAN_S, *TOPICS)
        await harness.buffer_empty()

        record = await record_of(harness)
        assert record.state is ImageState.MISSED
        assert [set(one.events) for one in record.refused] == [set(EventKind)]
        assert len(harness.refusals) == 1
        assert await ImageLedger(harness.redis).missed_images() == ["a"]


async def test_events_of_a_missed_exposure_that_arrive_after_its_catch_up_are_repetitions(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with one_intake(fresh_redis) as harness:
        listed_at = await miss(harness, settings, "a")
        url = "http://127.0.0.1:8000/a.yaml"
        assert harness.intake is not None
        await harness.intake.accept_missed(
            ArchiveMissed(session_id="the session", obsid="a", header_url=url)
        )

        harness.expose("a", FIRST_AT, *TOPICS)
        harness.expose("a", listed_at + AFTER_THE_SCAN_S, *TOPICS)
        await harness.buffer_empty()

        assert await counter(harness.redis, "duplicate_events") == len(TOPICS)
        [refused] = (await record_of(harness)).refused
        assert "listed" in refused.reason


async def test_exposure_is_refused_though_the_csc_has_read_the_first_one_before_the_scan(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with one_intake(fresh_redis) as harness:
        harness.is_enabled = False
        harness.expose("a", FIRST_AT, START)
        await harness.buffer_empty()
        harness.is_enabled = True
        listed_at = await miss(harness, settings, "a")

        harness.expose("a", listed_at + AFTER_THE_SCAN_S, *TOPICS)
        await harness.buffer_empty()

        assert (await record_of(harness)).state is ImageState.MISSED
        assert await ImageLedger(harness.redis).missed_images() == ["a"]
