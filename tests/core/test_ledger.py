from __future__ import annotations

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
from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import file_status_fields, ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Outcome, Transaction
from tests.core.redis_helpers import holding, looking_into, site

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


def record_of(*reported: FileStatus) -> dict[str, str]:
    return {file_status_fields.field_of(one): file_status_fields.value_of(one, 1.0) for one in reported}


def event_step(event: ExposureEvent, *, is_new: bool) -> Transaction:
    transaction = Transaction()
    ledger.record_event(
        transaction, ledger.ReceivedEvent(IMAGE, 4, "s", event, received_at=1.0), ImageState.ACCEPTED, is_new=is_new
    )
    return transaction


async def test_what_was_recorded_is_read_again(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(event_step(START, is_new=True))
        await context.transactions.apply(event_step(END, is_new=False))
        await context.transactions.apply(event_step(HEADER, is_new=False))
        sent = SentInstruction(ack_id="s_1", session_id="s", epoch=3, acked=True)
        transaction = Transaction().set_fields(f"ccarchiver:image:{IMAGE}", {"target_dir": "/data/"})
        ledger.record_sent(transaction, IMAGE, Instruction.XFER_PARAMS, sent)
        await context.transactions.apply(transaction)

        exposure = await ledger.read_exposure(redis, IMAGE, FILES)

        assert exposure is not None
        assert (exposure.start, exposure.end, exposure.header) == (START, END, HEADER)
        assert (exposure.obsid, exposure.job, exposure.target_dir) == (IMAGE, 4, "/data/")
        assert exposure.sent == {Instruction.XFER_PARAMS: sent}
        assert not exposure.retrieved
        assert await ledger.unfinished(redis) == [IMAGE]


async def test_an_event_the_ledger_has_already_is_refused(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context:
        assert await context.transactions.apply(event_step(START, is_new=True)) is Outcome.APPLIED
        assert await context.transactions.apply(event_step(START, is_new=False)) is Outcome.PRECONDITION_FAILED


async def test_unfinished_images_are_in_the_order_of_their_jobs(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        for job in (10, 9, 11):
            transaction = Transaction()
            heard = ledger.ReceivedEvent(f"i{job}", job, "s", START, received_at=1.0)
            ledger.record_event(transaction, heard, ImageState.ACCEPTED, is_new=True)
            await context.transactions.apply(transaction)

        assert await ledger.unfinished(redis) == ["i9", "i10", "i11"]


@pytest.mark.parametrize("state", [ImageState.COMPLETE, ImageState.FAILED])
async def test_a_finished_image_is_nobodys_business_any_more(fresh_redis: PrivateRedis, state: ImageState) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(event_step(START, is_new=True))
        transaction = Transaction()
        ledger.finish(transaction, IMAGE, state)
        await context.transactions.apply(transaction)

        assert await ledger.unfinished(redis) == []
        assert await ledger.read_exposure(redis, IMAGE, FILES) is None
        record = await ledger.read_record(redis, IMAGE)
        assert record["state"] == state
        assert float(record["finished"]) >= float(record["at"])
        assert not [name for name in record if name.startswith(ledger.WAITING)]


async def test_an_image_that_was_not_accepted_gives_the_bridge_nothing(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        ledger.create_unaccepted(transaction, IMAGE, ImageState.SKIPPED)
        await context.transactions.apply(transaction)

        assert await ledger.read_exposure(redis, IMAGE, FILES) is None
        assert await ledger.read_exposure(redis, "never heard of", FILES) is None
        assert await ledger.unfinished(redis) == []


def test_each_file_is_counted_once_by_its_last_status() -> None:
    good = record_of(*(status(sensor) for sensor in SENSORS))
    assert file_status_fields.count_good(good, StatusTopic.RETRIEVAL) == 9
    assert file_status_fields.count_good(good, StatusTopic.IN_OODS) == 0

    again = good | record_of(status("S00", code=5612), status("S01"))
    assert file_status_fields.count_good(again, StatusTopic.RETRIEVAL) == 8


def test_one_ccd_whose_file_has_two_names_counts_once() -> None:
    """The Forwarder names a file by its path there, the retry by another."""
    record = record_of(status("S00", filename="/a/one.fits"), status("S00", filename="/b/one.fits"))

    assert file_status_fields.count_good(record, StatusTopic.RETRIEVAL) == 1


def test_files_without_raft_and_sensor_are_told_apart_by_their_names() -> None:
    record = record_of(*(status("", topic=StatusTopic.IN_OODS, filename=f"{name}.fits") for name in SENSORS))

    assert len(record) == 9
    assert file_status_fields.count_good(record, StatusTopic.IN_OODS) == 9


def test_an_image_with_all_files_retrieved_needs_no_forwarder_any_more() -> None:
    record = {
        "obsid": IMAGE,
        "job": "1",
        "state": ImageState.ACCEPTED.value,
        START.kind.value: START.model_dump_json(),
    }
    complete = ledger.to_exposure(record | record_of(*(status(sensor) for sensor in SENSORS)), FILES)
    partial = ledger.to_exposure(record | record_of(*(status(sensor) for sensor in SENSORS[1:])), FILES)

    assert complete is not None
    assert complete.retrieved
    assert partial is not None
    assert not partial.retrieved


def test_it_says_who_owes_an_image_its_next_step() -> None:
    record, answers = {"state": ImageState.ACCEPTED.value}, list[str]()
    for more in (
        {START.kind.value: "{}"},
        {"target_dir": "/data/"},
        {Instruction.XFER_PARAMS.value: "{}"},
        {END.kind.value: "{}"},
        {HEADER.kind.value: "{}"},
        {Instruction.END_READOUT.value: "{}"},
        {Instruction.HEADER_READY.value: "{}"},
        record_of(*(status(sensor) for sensor in SENSORS)),
        {"state": ImageState.COMPLETE.value},
    ):
        answers.append(ledger.waiting_on(record, FILES))
        record |= more
    answers.append(ledger.waiting_on(record, FILES))

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
