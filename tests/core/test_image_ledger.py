from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.exposure import (
    EndReadout,
    ExposureEvent,
    HeaderReady,
    Instruction,
    SentInstruction,
    StartIntegration,
)
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.image_record import (
    ImageRecord,
    ImageState,
    MissedBy,
    MissedImage,
    ReceivedEvent,
)
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import file_status_fields
from ccarchiver_core.store.image_ledger import WAITING_PREFIX, ImageLedger
from ccarchiver_core.store.transaction import Outcome, Transaction
from tests.core.redis_helpers import holding, looking_into, read_exposure, read_fields, site

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

IMAGE = "CC_O_20261122_735514"
START = StartIntegration(
    image_name=IMAGE, image_index=2, images_in_sequence=3, image_date="20261122", exposure_time=1.5
)
END = EndReadout(image_name=IMAGE, image_index=2, images_in_sequence=3)
HEADER = HeaderReady(url="http://127.0.0.1:8000/header.yaml")
SENSORS = ("S00", "S01", "S02", "S10", "S11", "S12", "S20", "S21", "S22")
FILES = 9


def status(
    sensor: str = "S00",
    *,
    topic: StatusTopic = StatusTopic.RETRIEVAL,
    code: int = 0,
    filename: str | None = None,
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
        description="ok",
    )


def record_of(*published: FileStatus) -> ImageRecord:
    """Return an accepted image with these statuses, of which the last one of a file counts."""
    fields = {
        file_status_fields.field_of(one): file_status_fields.value_of(one, 1.0) for one in published
    }
    return ImageRecord(
        IMAGE,
        ImageState.ACCEPTED,
        events={START.kind: START},
        statuses=file_status_fields.statuses_of(fields),
    )


def event_transaction(event: ExposureEvent, *, is_new: bool) -> Transaction:
    transaction = Transaction()
    ImageLedger.record_event(
        transaction,
        ReceivedEvent(IMAGE, 4, "s", event, received_at=1.0),
        ImageState.ACCEPTED,
        is_new=is_new,
    )
    return transaction


async def test_read_exposure_returns_the_recorded_events_and_instructions(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(event_transaction(START, is_new=True))
        await context.transactions.apply(event_transaction(END, is_new=False))
        await context.transactions.apply(event_transaction(HEADER, is_new=False))
        sent = SentInstruction(ack_id="s_1", session_id="s", epoch=3, acked=True)
        transaction = Transaction().set_fields(
            f"ccarchiver:image:{IMAGE}", {"target_dir": "/data/"}
        )
        ImageLedger.record_instruction(transaction, IMAGE, Instruction.XFER_PARAMS, sent)
        await context.transactions.apply(transaction)

        exposure = await read_exposure(redis, IMAGE, FILES)

        assert exposure is not None
        assert (exposure.start, exposure.end, exposure.header) == (START, END, HEADER)
        assert (exposure.obsid, exposure.job, exposure.target_dir) == (IMAGE, 4, "/data/")
        assert exposure.sent == {Instruction.XFER_PARAMS: sent}
        assert not exposure.retrieved
        assert await ImageLedger(redis).open_images() == [IMAGE]


async def test_event_that_is_already_recorded_fails_its_precondition(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context:
        assert (
            await context.transactions.apply(event_transaction(START, is_new=True))
            is Outcome.APPLIED
        )
        assert (
            await context.transactions.apply(event_transaction(START, is_new=False))
            is Outcome.PRECONDITION_FAILED
        )


async def test_unfinished_images_are_in_the_order_of_their_job_numbers(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        for job in (10, 9, 11):
            transaction = Transaction()
            received = ReceivedEvent(f"i{job}", job, "s", START, received_at=1.0)
            ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=True)
            await context.transactions.apply(transaction)

        assert await ImageLedger(redis).open_images() == ["i9", "i10", "i11"]


@pytest.mark.parametrize("state", [ImageState.COMPLETE, ImageState.FAILED])
async def test_finished_image_is_not_unfinished_and_has_no_exposure(
    fresh_redis: PrivateRedis, state: ImageState
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(event_transaction(START, is_new=True))
        transaction = Transaction()
        ImageLedger.finish(transaction, IMAGE, state)
        await context.transactions.apply(transaction)

        assert await ImageLedger(redis).open_images() == []
        assert await read_exposure(redis, IMAGE, FILES) is None
        record = await read_fields(redis, IMAGE)
        assert record["state"] == state
        assert float(record["finished"]) >= float(record["at"])
        assert not [name for name in record if name.startswith(WAITING_PREFIX)]


async def test_unaccepted_image_is_not_unfinished_and_has_no_exposure(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        ImageLedger.create_unaccepted(transaction, IMAGE, ImageState.SKIPPED)
        await context.transactions.apply(transaction)

        assert await read_exposure(redis, IMAGE, FILES) is None
        assert await read_exposure(redis, "unknown", FILES) is None
        assert await ImageLedger(redis).open_images() == []


def test_each_file_is_counted_once_by_its_last_status() -> None:
    good = [status(sensor) for sensor in SENSORS]
    assert record_of(*good).count_good(StatusTopic.RETRIEVAL) == 9
    assert record_of(*good).count_good(StatusTopic.IN_OODS) == 0

    again = record_of(*good, status("S00", code=5612), status("S01"))
    assert again.count_good(StatusTopic.RETRIEVAL) == 8


def test_a_ccd_whose_file_has_two_names_counts_once() -> None:
    """The Forwarder names a file by its path there, the retry by another."""
    record = record_of(status("S00", filename="/a/one.fits"), status("S00", filename="/b/one.fits"))

    assert record.count_good(StatusTopic.RETRIEVAL) == 1


def test_files_without_raft_and_sensor_are_distinguished_by_their_names() -> None:
    names = [f"{name}.fits" for name in SENSORS]
    record = record_of(*(status("", topic=StatusTopic.IN_OODS, filename=name) for name in names))

    assert len(record.statuses) == 9
    assert record.count_good(StatusTopic.IN_OODS) == 9


def test_an_image_is_retrieved_when_all_its_files_are() -> None:
    complete = record_of(*(status(sensor) for sensor in SENSORS)).to_exposure(FILES)
    partial = record_of(*(status(sensor) for sensor in SENSORS[1:])).to_exposure(FILES)

    assert complete is not None
    assert complete.retrieved
    assert partial is not None
    assert not partial.retrieved


def test_an_open_image_names_what_it_waits_for() -> None:
    sent = SentInstruction(ack_id="s_1", session_id="s", epoch=3)
    record, answers = ImageRecord(IMAGE, ImageState.ACCEPTED), list[str]()
    for events, instructions, changes in (
        ({START.kind: START}, {}, {}),
        ({}, {}, {"target_dir": "/data/"}),
        ({}, {Instruction.XFER_PARAMS: sent}, {}),
        ({END.kind: END}, {}, {}),
        ({HEADER.kind: HEADER}, {}, {}),
        ({}, {Instruction.END_READOUT: sent}, {}),
        ({}, {Instruction.HEADER_READY: sent}, {}),
        ({}, {}, {"statuses": record_of(*(status(sensor) for sensor in SENSORS)).statuses}),
        ({}, {}, {"state": ImageState.COMPLETE}),
    ):
        answers.append(record.waiting_on(FILES))
        record = replace(
            record,
            events=record.events | events,
            instructions=record.instructions | instructions,
            **changes,
        )
    answers.append(record.waiting_on(FILES))

    expected = (
        "startIntegration",
        "Controller",
        "Forwarder",
        "endReadout",
        "largeFileObjectAvailable",
        "the bridge, which has not sent end_readout and header_ready",
        "the bridge, which has not sent header_ready",
        "0 of 9 files retrieved",
        "0 of 9 files ingested",
        "nothing",
    )
    assert len(answers) == len(expected)
    for answer, word in zip(answers, expected, strict=True):
        assert word in answer


async def test_a_record_with_fields_that_cannot_be_read_is_read_without_them(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(event_transaction(START, is_new=True))
        await redis.hset(
            f"ccarchiver:image:{IMAGE}",
            mapping={
                END.kind: "{}",
                Instruction.XFER_PARAMS: "not JSON",
                "retrieval|22|S00|x": "1.0 5",
                "retrieval|22|S01|x": "1.0 []",
                "past:xfer_params:s_1": "",
                "retried_at": "yesterday",
            },
        )

        record = await ImageLedger(redis).read(IMAGE)

    assert record is not None
    assert (record.job, record.events) == (4, {START.kind: START})
    assert record.received_kinds == {START.kind, END.kind}, "it must not be recorded again"
    assert len(record.unreadable) == 6
    assert record.retried_at == 0
    assert (record.instructions, record.superseded, record.statuses) == ({}, [], [])
    with pytest.raises(ValueError, match="cannot be read: endReadout"):
        record.to_exposure(FILES)


async def test_missed_images_are_recorded_together_unless_one_has_changed(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        ledger = ImageLedger(redis)
        transaction = Transaction()
        ImageLedger.create_unaccepted(transaction, "skipped", ImageState.SKIPPED)
        await context.transactions.apply(transaction)
        missed = [
            MissedImage("unknown", 5.0, MissedBy.NUMBERS),
            MissedImage("skipped", 6.0, MissedBy.SCAN, was_skipped=True),
        ]

        transaction = Transaction()
        ImageLedger.record_missed(
            transaction, [*missed, MissedImage("skipped", 7.0, MissedBy.SCAN)]
        )
        assert await context.transactions.apply(transaction) is Outcome.PRECONDITION_FAILED
        assert await ledger.missed_images() == []

        transaction = Transaction()
        ImageLedger.record_missed(transaction, missed)
        assert await context.transactions.apply(transaction) is Outcome.APPLIED
        assert await ledger.missed_images() == ["unknown", "skipped"]
        record = await ledger.read("unknown")
        assert record is not None
        assert (record.state, record.missed_by, record.first_seen_at) == ("missed", "numbers", 5.0)
        assert not record.is_open
        assert await ledger.read_states(["unknown", "none"]) == {"unknown": ImageState.MISSED}

        transaction = Transaction()
        ImageLedger.delete(transaction, "unknown")
        await context.transactions.apply(transaction)
        assert await ledger.missed_images() == ["skipped"]
