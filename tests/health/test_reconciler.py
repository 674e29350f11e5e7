"""Scans of the camera's images: when they are requested, and what their answers change."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.exposure import HeaderReady, StartIntegration
from ccarchiver_core.domain.image_record import ImageState, ReceivedEvent
from ccarchiver_core.domain.session import PairedForwarder, Pairing, Session
from ccarchiver_core.domain.worker_messages import (
    ArchiveMissed,
    RequestScan,
    ScanAnswered,
    ScanForwarder,
)
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.status.alarms import AlarmName, Severity, alarms_of
from ccarchiver_core.status.images import observing_day
from ccarchiver_core.status.overview import collect
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import Scan, ScanState, read_scan
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.reconcile import answer, missing_numbers, reconciler, startless_images
from ccarchiver_sim.pace import scaled
from tests.core.redis_helpers import (
    counter,
    enqueue,
    eventually,
    holding,
    messages_in,
    read_dead_letters,
    read_fields,
    site,
)
from tests.health.harness import SESSION, HealthHarness, entry, running_health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.testbed.brokers import PrivateRedis

LATER = 1_000_000.0
"""A time in seconds that no test reaches."""


def name(number: int) -> str:
    """Return the name of an image of the present night."""
    return f"CC_O_{observing_day(time.time()):%Y%m%d}_{number:06d}"


def record_start(transaction: Transaction, obsid: str, job: int) -> None:
    """Record the startIntegration of an image that the CSC has accepted."""
    start = StartIntegration(
        image_name=obsid,
        image_index=0,
        images_in_sequence=1,
        image_date="20261122",
        exposure_time=1.0,
    )
    received = ReceivedEvent(obsid, job, SESSION, start, time.time())
    ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=True)


class ScanHarness:
    """A health worker that is paired; the test plays the bridge and the Forwarder."""

    def __init__(self, health: HealthHarness) -> None:
        self.health = health
        self.redis = health.redis

    async def requested(self, number: int) -> ScanForwarder:
        """Wait until health requests a scan, and return its message."""

        async def found() -> ScanForwarder | None:
            await self.health.play_bridge()
            for message in await messages_in(self.redis, Worker.BRIDGE):
                if isinstance(message, ScanForwarder) and message.number == number:
                    return message
            return None

        return await eventually(found, f"the request of scan {number}")

    async def send(self, number: int) -> None:
        """Wait for the request of a scan, and record it as sent like the bridge."""
        await self.requested(number)
        await self.redis.hset(keys.SCAN, mapping={"state": ScanState.SENT, "sent_at": 1.0})

    async def answer(self, number: int, *names: str | bytes) -> None:
        """Answer a scan like the Forwarder and the bridge."""
        if names:
            await self.redis.lpush(keys.scan_names(number), *names)
        await enqueue(self.redis, Worker.HEALTH, ScanAnswered())

    async def scan(self, state: ScanState, number: int = 1) -> Scan:
        """Wait until a scan has a state, and return its record."""

        async def reached() -> Scan | None:
            scan = await read_scan(self.redis)
            return scan if (scan.number, scan.state) == (number, state) else None

        return await eventually(reached, f"scan {number} to be {state}")

    async def handled(self) -> None:
        """Wait until health has handled all its messages."""

        async def empty() -> bool:
            return not await messages_in(self.redis, Worker.HEALTH)

        await eventually(empty, "an empty mailbox of health")

    async def scan_again(self, number: int) -> None:
        """Request another scan like an operator, and record it as sent."""
        await enqueue(self.redis, Worker.HEALTH, RequestScan())
        await self.send(number)

    async def apply(self, transaction: Transaction) -> None:
        """Apply a transaction as the CSC."""
        await self.health.sal.transactions.apply(transaction)

    async def accept(self, obsid: str, state: ImageState) -> None:
        """Record an image that the CSC has accepted, and its end."""
        transaction = Transaction()
        record_start(transaction, obsid, 1)
        ImageLedger.finish(transaction, obsid, state)
        await self.apply(transaction)

    async def skip(self, obsid: str) -> None:
        """Record an image as skipped."""
        transaction = Transaction()
        ImageLedger.create_unaccepted(transaction, obsid, ImageState.SKIPPED)
        await self.apply(transaction)

    async def state_of(self, obsid: str) -> str | None:
        """Return the state of an image."""
        return (await read_fields(self.redis, obsid)).get("state")

    async def missed(self) -> list[str]:
        """Return the missed images."""
        return await ImageLedger(self.redis).missed_images()


@asynccontextmanager
async def scanning(redis: PrivateRedis, **changes: object) -> AsyncIterator[ScanHarness]:
    """Run a health worker, paired with the Forwarder f1, for the duration of a block."""
    limits = {"SCAN_TIMEOUT": LATER, "SCAN_INTERVAL": LATER, **changes}
    async with running_health(redis, **limits) as health:
        await health.list_forwarders("f1", "f2")
        for forwarder in ("f1", "f2"):
            await health.write_presence(forwarder)
        yield ScanHarness(health)


async def begin(harness: ScanHarness) -> None:
    """Begin a session that is paired."""
    await harness.health.begin()
    await harness.health.paired_with("f1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(reconciler, "RETRY_AFTER", 0.05)


async def test_pairing_requests_a_scan_and_unknown_and_skipped_images_become_missed(
    fresh_redis: PrivateRedis,
) -> None:
    async with scanning(fresh_redis) as harness:
        await harness.accept(name(1), ImageState.COMPLETE)
        await harness.accept(name(2), ImageState.FAILED)
        await harness.skip(name(3))
        await begin(harness)
        await harness.send(1)

        await harness.answer(1, *(name(number) for number in range(1, 6)))
        scan = await harness.scan(ScanState.ANSWERED)

        assert await harness.missed() == [name(3), name(4), name(5)]
        states = [await harness.state_of(name(number)) for number in range(1, 6)]
        assert states == ["complete", "failed", "missed", "missed", "missed"]
        record = await ImageLedger(harness.redis).read(name(4))
        assert record is not None
        assert record.missed_by == "scan"
        assert observing_day(record.first_seen_at) == observing_day(time.time())
        assert (scan.names, scan.missed) == (5, 3)
        assert scan.answered_at == scan.finished_at > 0
        assert not await harness.redis.exists(keys.scan_names(1)), "the list is used once"
        assert await counter(harness.redis, "images_missed") == 3


async def test_scan_waits_until_no_exposure_is_in_progress(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    paired = Session(
        id=SESSION,
        is_active=True,
        pairing=Pairing.PAIRED,
        forwarder=PairedForwarder(**entry("f1").model_dump(), presence_key="f1_association"),
    )
    async with (
        holding(Worker.SAL, settings) as sal,
        holding(Worker.HEALTH, settings) as context,
    ):
        await context.redis.hset(
            keys.SESSION, mapping={"id": SESSION, "is_active": "1", "epoch": "0"}
        )
        scans = reconciler.Reconciler(context, lambda: paired)

        async def requested() -> bool:
            await scans.poll()
            return (await read_scan(context.redis)).state is ScanState.REQUESTED

        transaction = Transaction()
        for job, obsid in enumerate((name(1), name(2), name(3)), 1):
            record_start(transaction, obsid, job)
        await sal.transactions.apply(transaction)
        assert not await requested(), "the Forwarder has to fetch three images"

        transaction = Transaction()
        ImageLedger.finish(transaction, name(1), ImageState.COMPLETE)
        ImageLedger.mark_stalled(transaction, name(2))
        await sal.transactions.apply(transaction)
        assert not await requested(), "it has to fetch the third image"
        assert (await read_scan(context.redis)).postponed_since == 0, "that is not long"

        transaction = Transaction().set_fields(
            keys.image(name(3)), {"retrieved": settings.files_per_image}
        )
        await sal.transactions.apply(transaction)
        assert await requested(), "one image is stalled, the other one waits only for the OODS"


@pytest.mark.parametrize("is_late", [True, False], ids=["late answer", "no answer"])
async def test_scan_without_an_answer_ends_and_a_late_answer_is_used(
    fresh_redis: PrivateRedis, *, is_late: bool
) -> None:
    async with scanning(fresh_redis, SCAN_TIMEOUT=scaled(0.3)) as harness:
        await begin(harness)
        await harness.send(1)
        await harness.scan(ScanState.UNANSWERED)
        assert await counter(harness.redis, "scans_unanswered") == 1
        if is_late:
            await harness.answer(1, name(1))
            await harness.scan(ScanState.ANSWERED)
            assert await harness.missed() == [name(1)]
        await harness.scan_again(2)


async def test_late_answer_to_an_earlier_scan_is_used_with_the_next_one(
    fresh_redis: PrivateRedis,
) -> None:
    async with scanning(fresh_redis, SCAN_TIMEOUT=scaled(1)) as harness:
        await begin(harness)
        await harness.send(1)
        await harness.scan(ScanState.UNANSWERED)
        await harness.scan_again(2)

        await harness.answer(1, name(1))
        await harness.answer(2, name(1), name(2))

        async def both() -> bool:
            return await harness.missed() == [name(1), name(2)]

        await eventually(both, "the images of both answers")


async def test_names_without_scan_ack_are_used(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis, SCAN_TIMEOUT=scaled(0.3)) as harness:
        await begin(harness)
        await harness.send(1)
        await harness.redis.lpush(keys.scan_names(1), name(1))

        await harness.scan(ScanState.ANSWERED)

        assert await harness.missed() == [name(1)]


async def test_gap_in_the_numbers_is_missed_and_a_scan_confirms_it(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "NUMBERS_INTERVAL", 0.0)
    monkeypatch.setattr(missing_numbers, "GRACE_S", 0.0)
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)
        await harness.answer(1)
        await harness.scan(ScanState.ANSWERED)
        for number in (1, 3):
            await harness.accept(name(number), ImageState.COMPLETE)

        await harness.send(2)  # the gap makes it due
        assert (await read_fields(harness.redis, name(2)))["missed_by"] == "numbers"
        await harness.answer(2, name(1), name(2), name(3))
        scan = await harness.scan(ScanState.ANSWERED, 2)

        assert scan.missed == 0
        assert (await read_fields(harness.redis, name(2)))["missed_by"] == "scan"


async def test_second_answer_changes_nothing(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)
        await harness.answer(1, name(1))
        before = await harness.scan(ScanState.ANSWERED)

        await harness.answer(1)
        await harness.handled()

        assert await harness.scan(ScanState.ANSWERED) == before
        assert await counter(harness.redis, "scan_answers_ignored") == 1
        assert await counter(harness.redis, "images_missed") == 1


async def test_answer_without_names_is_an_answer(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)

        await harness.answer(1)

        assert (await harness.scan(ScanState.ANSWERED)).names == 0


async def test_names_of_another_camera_are_counted_and_ignored(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)
        with structlog.testing.capture_logs() as lines:
            await harness.answer(1, "AT_O_20261122_000001", name(1))
            scan = await harness.scan(ScanState.ANSWERED)
            await harness.handled()

        assert scan.of_other_cameras == 1
        assert await harness.missed() == [name(1)]
        [line] = [line for line in lines if line["event"] == "scan.other_camera"]
        assert (line["count"], line["sample"]) == (1, "AT_O_20261122_000001")


async def test_hostile_names_are_one_dead_letter_however_often_they_are_listed(
    fresh_redis: PrivateRedis,
) -> None:
    hostile = [
        b"CC_O_20261122_000001; reboot",
        b"../../etc/passwd",
        b"\xff\xfe\x00",
        b"",
        b"CC_" + b"1" * 10_000,
        b"CC_O_20261122_\xd9\xa1",
    ]
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        for number in (1, 2):
            await harness.send(number) if number == 1 else await harness.scan_again(number)
            await harness.answer(number, name(1), *hostile)
            scan = await harness.scan(ScanState.ANSWERED, number)
            assert scan.rejected == len(hostile)
        [dead_letter] = await read_dead_letters(harness.redis)
        assert dead_letter["origin"] == b"SCAN"
        assert b"6 names of the answer" in dead_letter["reason"]
        assert len(dead_letter["raw"]) < 1000
        assert await harness.missed() == [name(1)]


async def test_answer_with_too_many_names_is_read_up_to_the_limit_and_reported(
    fresh_redis: PrivateRedis,
) -> None:
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)
        with structlog.testing.capture_logs() as lines:
            await harness.answer(1, *(name(number) for number in range(1, 10_001)))
            scan = await harness.scan(ScanState.ANSWERED)
            await harness.handled()

        assert (scan.names, scan.unread) == (answer.MAX_NAMES, 10_000 - answer.MAX_NAMES)
        missed = await harness.missed()
        assert len(missed) == answer.MAX_NAMES
        assert missed[-1] == name(10_000), "the newest images are read"
        events = [str(line["event"]) for line in lines]
        assert events.count("scan.truncated") == 1
        assert events.count("images.missed") == 1
        assert not await harness.redis.exists(keys.scan_names(1))


@pytest.mark.parametrize("defect", ["not a list", "too large"])
async def test_unusable_list_is_reported_and_deleted(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    monkeypatch.setattr(answer, "MAX_LIST_BYTES", 1000)
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)
        if defect == "not a list":
            await harness.redis.set(keys.scan_names(1), "text")
        else:
            await harness.redis.lpush(keys.scan_names(1), "x" * 2000)
        await harness.answer(1)

        assert (await harness.scan(ScanState.ANSWERED)).names == 0
        assert not await harness.redis.exists(keys.scan_names(1))


async def test_scan_that_could_not_be_sent_is_requested_again(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.requested(1)
        await harness.redis.hset(keys.SCAN, "state", ScanState.NOT_SENT)

        await harness.requested(2)


async def test_scans_are_requested_periodically(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis, SCAN_INTERVAL=0.1) as harness:
        await begin(harness)
        for number in (1, 2, 3):
            await harness.send(number)
            await harness.answer(number)


async def test_each_pairing_and_each_start_of_the_csc_requests_a_scan(
    fresh_redis: PrivateRedis,
) -> None:
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)
        await harness.answer(1)
        await harness.scan(ScanState.ANSWERED)

        await harness.redis.delete("f1_association")
        await harness.health.paired_with("f2")
        await harness.send(2)
        await harness.answer(2)
        await harness.scan(ScanState.ANSWERED, 2)

        heartbeat = Heartbeat(worker=Worker.SAL, started="2026-11-22T08:18:37.000+00:00")
        await harness.redis.set(Worker.SAL.alive, heartbeat.model_dump_json())
        await harness.requested(3)


async def test_record_with_an_unknown_state_stops_neither_scans_nor_pairing(
    fresh_redis: PrivateRedis,
) -> None:
    async with scanning(fresh_redis) as harness:
        await harness.accept(name(1), ImageState.COMPLETE)
        await harness.redis.hset(keys.image(name(1)), "state", "of a later version")
        await harness.redis.zadd(keys.UNFINISHED, {name(1): 1})
        with structlog.testing.capture_logs() as lines:
            await begin(harness)
            await harness.requested(1)
        assert "scan.failed" not in [line["event"] for line in lines]


async def test_defect_of_the_scan_stops_neither_scans_nor_pairing(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defective(*_: object) -> bool:
        raise ValueError("a defect")

    async with scanning(fresh_redis) as harness:
        with monkeypatch.context() as defect, structlog.testing.capture_logs() as lines:
            defect.setattr(reconciler, "is_exposing", defective)
            await begin(harness)

            async def failed() -> bool:
                return [line["event"] for line in lines].count("scan.failed") >= 2

            await eventually(failed, "two failed checks")
        await harness.requested(1)


async def test_dead_letter_of_hostile_names_cannot_be_requeued(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis) as harness:
        await begin(harness)
        await harness.send(1)
        await harness.answer(1, "not; a name")
        await harness.scan(ScanState.ANSWERED)
        [dead_letter] = await dead_letters.newest(harness.redis, 10)

        with pytest.raises(RejectedError, match="a sample of names, not a message"):
            await dead_letters.requeue(harness.redis, dead_letter)


async def test_nothing_is_scanned_if_catch_up_is_off(fresh_redis: PrivateRedis) -> None:
    async with scanning(fresh_redis, CATCH_UP="off") as harness:
        await begin(harness)
        await enqueue(harness.redis, Worker.HEALTH, RequestScan())
        await harness.handled()

        assert (await read_scan(harness.redis)).number == 0


async def test_exposures_without_a_pause_are_reported_until_a_scan_is_possible(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "POSTPONED_INTERVALS", 0.0)
    async with scanning(fresh_redis) as harness:
        transaction = Transaction()
        record_start(transaction, "live", 1)
        await harness.apply(transaction)
        await begin(harness)

        async def reported() -> bool:
            return (await read_scan(harness.redis)).postponed_since > 0

        await eventually(reported, "the report")
        view = await collect(harness.redis, site(fresh_redis.port))
        found = [alarm for alarm in alarms_of(view) if alarm.name == AlarmName.SCANS_POSTPONED]
        assert [alarm.severity for alarm in found] == [Severity.WARNING]
        transaction = Transaction()
        ImageLedger.finish(transaction, "live", ImageState.COMPLETE)
        await harness.apply(transaction)

        await harness.requested(1)

        assert (await read_scan(harness.redis)).postponed_since == 0


async def test_events_are_requested_for_listed_images_without_startintegration(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startless_images, "GRACE_S", 0.0)
    monkeypatch.setattr(startless_images, "AT_ONCE", 1)
    async with scanning(fresh_redis, CATCH_UP="automatic") as harness:
        for number in range(1, 3):
            transaction = Transaction()
            header = HeaderReady(url="http://127.0.0.1:8000/header.yaml")
            received = ReceivedEvent(name(number), number, SESSION, header, time.time())
            ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=True)
            await harness.apply(transaction)
        await begin(harness)
        await harness.send(1)

        await harness.answer(1, name(1), name(2))
        await harness.requested(2)

        messages = await messages_in(harness.redis, Worker.SAL)
        requests = [message for message in messages if isinstance(message, ArchiveMissed)]
        assert [request.obsid for request in requests] == [name(1)]
        assert await harness.missed() == []
