"""Records that no version writes stop no reader, no worker and no command."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from ccarchiver_bridge import unreadable_acks
from ccarchiver_bridge.context import BridgeContext
from ccarchiver_bridge.forwarder_scan import ForwarderScan
from ccarchiver_bridge.pending_acks import PendingAcks
from ccarchiver_cli.doctor import redis_records
from ccarchiver_cli.doctor.site import Site
from ccarchiver_cli.main import make_app
from ccarchiver_core import keys
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.exposure import EventKind, Instruction
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageState, MissedBy
from ccarchiver_core.domain.session import Pairing
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.status import candidate_list, night, record_audit
from ccarchiver_core.status.images import find_names, observing_day
from ccarchiver_core.status.night_view import view as night_view
from ccarchiver_core.status.night_view.csv_text import csv_text
from ccarchiver_core.status.night_view.page import render as render_night
from ccarchiver_core.status.night_view.page import served_frame
from ccarchiver_core.status.overview import collect
from ccarchiver_core.store import dead_letters, scans, unreadable
from ccarchiver_core.store.image_ledger import ImageLedger, read_last_job
from ccarchiver_core.store.scans import ScanState, read_scan
from ccarchiver_core.store.session import read_session
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_health.candidate_queue import CandidateQueue
from ccarchiver_health.forwarder_list import ForwarderList
from ccarchiver_health.housekeeping import Housekeeping
from ccarchiver_health.metrics.render import render
from ccarchiver_health.reconcile.answer_recorder import AnswerRecorder
from ccarchiver_health.reconcile.catch_up import CatchUpTask
from ccarchiver_health.reconcile.missing_numbers import MissingNumbers
from ccarchiver_health.reconcile.reconciler import Reconciler
from ccarchiver_health.record_repair import INDEXES
from ccarchiver_health.search_time import SearchTime
from ccarchiver_health.web.snapshot import read_fingerprint, read_snapshot
from ccarchiver_sal import saved_state
from ccarchiver_sal.watermarks import Watermarks
from tests.core.record_garbage import (
    COMPLETE,
    FIELDS,
    JOB,
    KEYS,
    MISSED,
    OPEN,
    SCAN_NUMBER,
    SKIPPED,
    VALUES,
    spoil_type,
    spoil_value,
    write_good,
)
from tests.core.redis_helpers import counter, read_exposure
from tests.support.ledger_builder import EPOCH, SESSION

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from tests.cli.cli_runner import CommandRunner

COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("images", "--json"),
    ("images",),
    ("image", OPEN),
    ("image", COMPLETE, "--json"),
    ("night",),
    ("night", "--json"),
    ("catchup",),
    ("catchup", "--json"),
    ("catchup", "--dry-run"),
    ("pair", "show"),
    ("pair", "next", "--json"),
    ("deadletter", "list"),
)


async def read_everything(redis: Redis, settings: Settings) -> None:
    """Run each reader of the overview, the page, the metrics and the commands."""
    view = await collect(redis, settings)
    assert view.redis.answers, view.redis.error
    snapshot = await read_snapshot(redis, settings)
    json.loads(snapshot.model_dump_json())
    await read_fingerprint(redis)
    await render(redis, settings)
    await candidate_list.read_candidates(redis, settings)
    await dead_letters.newest(redis, 100)
    await night.read_night(redis, observing_day(view.at), settings.files_per_image)
    part = await night_view.read_part(redis, settings, observing_day(snapshot.overview.at))
    render_night(part, served_frame(await night_view.read_nights(redis)))
    csv_text(part)
    await find_names(redis, "1", 5)
    with unreadable.collecting():
        await record_audit.read_all(redis)


async def work(context: WorkerContext) -> None:
    """Do what the workers do with the records when they start, and in their rounds."""
    redis, settings = context.redis, context.settings
    await saved_state.read_saved(redis, 1e9)
    await saved_state.is_ended(redis)
    await saved_state.write_alive(redis)
    Watermarks().load(await read_hash(redis, keys.CSC))
    await read_last_job(redis)
    pending = PendingAcks(5.0)
    await pending.load(redis)
    pending.drop_outdated(await read_session(redis), Transaction())
    await unreadable_acks.replay(BridgeContext(context))
    ledger = ImageLedger(redis)
    for obsid in await ledger.open_images():
        record = await ledger.read(obsid)
        if record is not None and not record.unreadable:
            record.to_exposure(settings.files_per_image)
    await SearchTime(context, 1.0).poll()
    forwarders = ForwarderList(context)
    await forwarders.refresh()
    await CandidateQueue(context, forwarders).next(set())
    await catch_up(context)
    housekeeping = Housekeeping(context)
    for _ in range(2):
        await housekeeping.round()


async def catch_up(context: WorkerContext) -> None:
    """Do what the bridge and health do with the scan and the missed images."""
    redis = context.redis
    bridge = BridgeContext(context)
    await ForwarderScan(bridge, PendingAcks(5.0)).load()
    session = await read_session(redis)
    await MissingNumbers(context).record(0.0)
    await Reconciler(context, lambda: session).poll()
    await AnswerRecorder(context).record()
    await CatchUpTask(context, lambda: session).poll()
    ledger = ImageLedger(redis)
    for obsid in await ledger.missed_images():
        await ledger.read_skipped_events(obsid)


async def transact(context: WorkerContext) -> None:
    """Apply a transaction with a write to each key that workers write."""
    transaction = Transaction().count("images_accepted").count("other")
    transaction.command("HSET", keys.image(OPEN), "target_dir", "/data")
    transaction.command("ZADD", keys.IMAGES, 1, "CC_O_20261122_000009")
    transaction.command("ZADD", keys.UNFINISHED, 1, "CC_O_20261122_000009")
    transaction.command("HSET", keys.SESSION, "id", "x")
    transaction.command("HINCRBYFLOAT", keys.STAGE_DURATIONS, "image:sum", "1.5")
    transaction.command("SADD", keys.QUEUES_TO_PURGE, "q")
    dead_letters.add(transaction, context.settings, origin="q", reason="r", raw=b"")
    await context.transactions.apply(transaction)


def context_of(cli: CommandRunner, worker: Worker) -> WorkerContext:
    """Return the context of a worker at a site that archives missed images."""
    return WorkerContext(worker, cli.settings.model_copy(update={"catch_up": CatchUp.AUTOMATIC}))


async def as_worker(cli: CommandRunner, key: str) -> None:
    """Acquire a lease and do the work of all workers."""
    worker = next((one for one in Worker if key.endswith(f":{one}")), Worker.HEALTH)
    context = context_of(cli, worker)
    try:
        await context.lease.acquire()
        await transact(context)
        await work(context)
        # The first reading returns pending entries. The second one waits for new ones.
        for _ in range(2 if key == worker.mailbox else 1):
            for one in await context.mailbox.read():
                await context.transactions.apply(Transaction().ack(worker, one.id))
    finally:
        await context.close()


async def check(cli: CommandRunner, key: str) -> None:
    """Run all readers, workers and commands."""
    await read_everything(cli.redis, cli.settings)
    for words in COMMANDS:
        # The runner also checks the width of the output, which long garbage can exceed.
        result = await asyncio.to_thread(CliRunner().invoke, make_app(words[0]), list(words))
        assert result.exit_code in (0, 1), (words, result.output)
        assert isinstance(result.exception, SystemExit | None), words
    await as_worker(cli, key)
    await read_everything(cli.redis, cli.settings)


@pytest.mark.parametrize("kind", VALUES)
async def test_garbage_in_all_records_stops_no_reader_no_worker_and_no_command(
    cli: CommandRunner, kind: str
) -> None:
    await write_good(cli)
    for key in KEYS:
        for field in FIELDS.get(key, ("",)):
            await spoil_value(cli.redis, key, field, VALUES[kind])
    await check(cli, Worker.HEALTH.mailbox)


@pytest.mark.extended
@pytest.mark.parametrize("key", KEYS)
async def test_garbage_in_one_field_stops_no_reader_no_worker_and_no_command(
    cli: CommandRunner, key: str
) -> None:
    # One kind for each field, in turn: all kinds in all fields would take an hour.
    kinds = itertools.cycle(VALUES.items())
    for field, (kind, value) in zip(FIELDS.get(key, ("",)), kinds, strict=False):
        await cli.redis.flushdb()
        await write_good(cli)
        await spoil_value(cli.redis, key, field, value)
        try:
            await check(cli, key)
        except Exception as error:
            raise AssertionError(f"{kind} in {key} {field}") from error


@pytest.mark.extended
@pytest.mark.parametrize("key", KEYS)
async def test_key_of_a_wrong_type_stops_no_reader_no_worker_and_no_command(
    cli: CommandRunner, key: str
) -> None:
    await write_good(cli)
    await spoil_type(cli.redis, key)
    await check(cli, key)


async def test_all_keys_of_wrong_types_stop_no_reader_no_worker_and_no_command(
    cli: CommandRunner,
) -> None:
    await write_good(cli)
    for key in KEYS:
        await spoil_type(cli.redis, key)
    await check(cli, Worker.HEALTH.mailbox)


async def run_worker(cli: CommandRunner) -> None:
    """Do the work of the workers once."""
    context = context_of(cli, Worker.HEALTH)
    try:
        await context.lease.acquire()
        await work(context)
    finally:
        await context.close()


async def test_unreadable_fields_become_dead_letters_with_their_values(cli: CommandRunner) -> None:
    await write_good(cli)
    value = b"\xff sideways"
    for key in (keys.KNOWN_FORWARDERS, keys.ASSOCIATION_ATTEMPTS, keys.PENDING_ACKS):
        await spoil_value(cli.redis, key, "other", value)
    await spoil_value(cli.redis, keys.COUNTERS, "images_accepted", value)
    assert "4 records in Redis cannot be read" in (await cli.run("status")).words
    await run_worker(cli)
    found = {(one.origin, one.raw) for one in await dead_letters.newest(cli.redis, 100)}
    for key in (
        *(keys.KNOWN_FORWARDERS, keys.ASSOCIATION_ATTEMPTS, keys.PENDING_ACKS, keys.COUNTERS),
    ):
        assert (key, value) in found
    assert await counter(cli.redis, "records_unreadable") == 4
    assert not (await collect(cli.redis, cli.settings)).unreadable
    letter = (await dead_letters.newest(cli.redis, 1))[0]
    with pytest.raises(RejectedError, match="a record that could not be read"):
        await dead_letters.requeue(cli.redis, letter)


async def test_instruction_of_an_unreadable_pending_ack_is_sent_again(cli: CommandRunner) -> None:
    await write_good(cli)
    ledger = ImageLedger(cli.redis)
    record = await ledger.read(OPEN)
    assert record is not None
    sent = record.instructions[Instruction.XFER_PARAMS]
    await cli.redis.hset(keys.PENDING_ACKS, sent.ack_id, "sideways")
    await run_worker(cli)
    exposure = await read_exposure(cli.redis, OPEN, cli.settings.files_per_image)
    assert exposure is not None
    assert exposure.next_instruction(SESSION, EPOCH) is Instruction.XFER_PARAMS


async def test_job_number_continues_after_an_unreadable_counter(cli: CommandRunner) -> None:
    await write_good(cli)
    for value in (b"sideways", b"-3", b"9" * 40):
        await spoil_value(cli.redis, keys.COUNTERS, "job", value)
        assert await read_last_job(cli.redis) == JOB


async def test_unreadable_pairing_begins_a_new_search_with_a_higher_epoch(
    cli: CommandRunner,
) -> None:
    for field in ("epoch", "pairing", "forwarder"):
        await cli.redis.flushdb()
        await write_good(cli)
        await cli.redis.hset(keys.SESSION, field, "sideways")
        assert not (await read_session(cli.redis)).is_paired
        await run_worker(cli)
        session = await read_session(cli.redis)
        assert session.is_active
        assert session.pairing is Pairing.SEARCHING
        assert session.epoch > EPOCH
        assert not session.unreadable


async def test_unreadable_loss_is_removed_and_the_pairing_stays(cli: CommandRunner) -> None:
    await write_good(cli)
    await cli.redis.hset(keys.SESSION, "loss", "sideways")
    await run_worker(cli)
    session = await read_session(cli.redis)
    assert session.is_paired
    assert (session.epoch, session.loss, session.unreadable) == (EPOCH, None, ())


async def test_unfinished_image_with_an_unknown_state_fails_and_can_be_retried(
    cli: CommandRunner,
) -> None:
    await write_good(cli)
    for name in (OPEN, COMPLETE):
        await cli.redis.hset(keys.image(name), "state", "sideways")
    assert "unreadable" in (await cli.run("images")).out
    await run_worker(cli)
    letters = [one for one in await dead_letters.newest(cli.redis, 9) if one.obsid]
    assert [one.obsid for one in letters] == [OPEN]
    assert b"sideways" in letters[0].raw
    assert (await cli.run("image", OPEN, "--retry")).code == 0
    record = await ImageLedger(cli.redis).read(OPEN)
    assert record is not None
    assert record.is_open
    finished = await ImageLedger(cli.redis).read(COMPLETE)
    assert finished is not None
    assert finished.state is ImageState.UNREADABLE
    assert finished.count_good(StatusTopic.IN_OODS) == cli.settings.files_per_image


@pytest.mark.parametrize("index", sorted(INDEXES))
async def test_index_of_a_wrong_type_is_made_again(cli: CommandRunner, index: str) -> None:
    await write_good(cli)
    await cli.redis.delete(keys.scan_names(SCAN_NUMBER))  # it would add a missed image
    before = await cli.redis.zrange(index, 0, -1)
    await spoil_type(cli.redis, index)
    await run_worker(cli)
    assert sorted(await cli.redis.zrange(index, 0, -1)) == sorted(before)
    renamed = [name async for name in cli.redis.scan_iter(match=f"{keys.UNREADABLE}:*:{index}")]
    assert [await cli.redis.get(name) for name in renamed] == [b"x"]


@pytest.mark.parametrize("field", ["number", "state", "requested_at", "missed"])
async def test_next_scan_follows_one_whose_record_cannot_be_read(
    cli: CommandRunner, field: str
) -> None:
    await write_good(cli)
    await cli.redis.hset(keys.SCAN, field, "sideways")
    context = context_of(cli, Worker.HEALTH)
    try:
        await context.lease.acquire()
        await Housekeeping(context).round()
        scan = await read_scan(cli.redis)
        transaction = Transaction()
        scans.write(transaction, scan, number=scan.number + 1, state=ScanState.REQUESTED)
        assert await context.transactions.apply(transaction) is Outcome.APPLIED
    finally:
        await context.close()
    origins = [(one.origin, one.raw) for one in await dead_letters.newest(cli.redis, 1)]
    assert origins == [(keys.SCAN, b"sideways")]
    assert (await read_scan(cli.redis)).number == (1 if field == "number" else SCAN_NUMBER + 1)


@pytest.mark.parametrize(
    ("field", "value"), [("number", "0"), ("number", "007"), ("state", "none")]
)
async def test_scan_that_no_version_writes_is_unreadable(
    cli: CommandRunner, field: str, value: str
) -> None:
    await cli.redis.hset(keys.SCAN, field, value)
    with unreadable.collecting() as found:
        assert (await read_scan(cli.redis)).number == 0
    assert [(one.key, one.field) for one in found] == [(keys.SCAN, field)]


async def test_scan_writes_what_found_a_missed_image_again(cli: CommandRunner) -> None:
    await write_good(cli)
    await cli.redis.hset(keys.image(MISSED), "missed_by", "sideways")
    ledger = ImageLedger(cli.redis)
    record = await ledger.read(MISSED)
    assert record is not None
    assert (record.missed_by, record.unreadable) == ("", ("missed_by",))
    context = context_of(cli, Worker.HEALTH)
    try:
        await context.lease.acquire()
        await AnswerRecorder(context).record()
    finally:
        await context.close()
    for obsid in (MISSED, SKIPPED):
        record = await ledger.read(obsid)
        assert record is not None
        assert (record.state, record.missed_by) == (ImageState.MISSED, MissedBy.SCAN)


async def test_image_without_a_readable_state_is_not_missed(cli: CommandRunner) -> None:
    await write_good(cli)
    await cli.redis.hset(keys.image(OPEN), "state", "sideways")
    await cli.redis.hdel(keys.image(COMPLETE), "state")
    await spoil_type(cli.redis, keys.image(MISSED))
    states = await ImageLedger(cli.redis).read_states([OPEN, COMPLETE, MISSED, SKIPPED, "none"])
    unreadable_ones = dict.fromkeys((OPEN, COMPLETE, MISSED), ImageState.UNREADABLE)
    assert states == {**unreadable_ones, SKIPPED: ImageState.SKIPPED}


async def test_doctor_lists_unreadable_records(cli: CommandRunner) -> None:
    await write_good(cli)
    await cli.redis.hset(keys.image(COMPLETE), EventKind.END, "sideways")
    await cli.redis.hset(keys.CSC, "error_code", "none")
    site = Site(cli.settings)
    findings = await asyncio.to_thread(lambda: list(redis_records.check(site)))
    found = [one.found for one in findings]
    assert len(found) == 2
    assert any("endReadout" in text for text in found)
