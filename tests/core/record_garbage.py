"""Values that no version writes, for each key and field of the archiver's records."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import EventKind, Instruction, StartIntegration
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.pending_ack import PendingAck
from ccarchiver_core.domain.refused_exposure import RefusedExposure
from ccarchiver_core.domain.supervised_process import ProcessState, SupervisedProcess
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import (
    association_attempts,
    dead_letters,
    pending_acks,
    stage_durations,
    state_history,
)
from ccarchiver_core.store.association_attempts import AssociationAttempt
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import Scan, ScanState
from ccarchiver_core.store.transaction import Transaction
from tests.health.harness import entry
from tests.support.ledger_builder import EPOCH, SESSION, Progress

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Value
    from tests.cli.cli_runner import CommandRunner

OPEN = "CC_O_20261122_000001"
COMPLETE = "CC_O_20261122_000002"
MISSED = "CC_O_20261122_000003"
SKIPPED = "CC_O_20261122_000004"
JOB = 7
SCAN_NUMBER = 3

VALUES = {
    "not UTF-8": b"\xff\xfe\x00",
    "empty": b"",
    "unknown word": b"sideways",
    "huge": b"9" * 400,
    "huge exponent": b"1e308",
    "NaN": b"nan",
    "infinite": b"-inf",
    "negative": b"-1",
    "another shape": b'{"a": [1, {"b": null}]}',
    "a list": b"[]",
    "deep": b"[" * 5000,
    "JSON with NaN": b'{"pid": NaN, "written_at": Infinity, "epoch": 1e999}',
}
"""Garbage for a field of a hash, a string, or an entry of a list, a set or a stream."""

IMAGE_FIELDS = (
    *("obsid", "job", "at", "state", "session", "finished", "failed", "failed_code", "target_dir"),
    *("missed_at", "missed_by", "catch_up_requested_at", "caught_up_at"),
    *("dismissed_at", "dismissal"),
    *("waiting_at", "waiting_boot", "waiting_uptime", "retried_at", "replayed_at", "retrieved"),
    *("ingested", "at:retrieved", "at:ingested", "refused:1", "refused:x", "retrieval|", "x|y|z|w"),
    *(f"past:{Instruction.NEW_ITEM}:1", "past:", "past:sideways:2"),
    *EventKind,
    *(f"at:{kind}" for kind in EventKind),
    *(f"skipped:{kind}" for kind in EventKind),
    *Instruction,
)

FIELDS: dict[str, tuple[str, ...]] = {
    keys.image(OPEN): IMAGE_FIELDS,
    keys.image(COMPLETE): IMAGE_FIELDS,
    keys.image(MISSED): IMAGE_FIELDS,
    keys.image(SKIPPED): IMAGE_FIELDS,
    keys.SESSION: ("id", "is_active", "epoch", "pairing", "forwarder", "loss"),
    keys.CSC: (
        *("state", "error_code", "error_report", "alive_at", "alive_boot", "alive_uptime"),
        *(f"watermark:{kind}" for kind in EventKind),
    ),
    keys.KNOWN_FORWARDERS: ("fwd1_consume", "other"),
    keys.ASSOCIATION_ATTEMPTS: ("fwd1_consume", "other"),
    keys.PENDING_ACKS: ("ack", "other"),
    keys.COUNTERS: ("job", "dead_letters", "images_accepted", "other"),
    keys.SUPERVISED_PROCESSES: ("host ccarchiver:sal", "other"),
    keys.STAGE_DURATIONS: ("image:0.005", "image:sum", "other"),
    keys.SCAN: (*Scan.model_fields, "other"),
    keys.UNREADABLE: ("other",),
    **{worker.applied: ("last", "preconditions_failed") for worker in Worker},
}
"""Fields of the hashes."""

STRINGS = tuple(
    name
    for worker in Worker
    for name in (worker.lease, worker.standby, worker.alive, worker.fencing_token)
)
LISTS = (keys.FORWARDER_LIST, keys.PAIRING_CANDIDATE, keys.scan_names(SCAN_NUMBER))
SETS = (keys.QUEUES_TO_PURGE,)
SORTED_SETS = (
    keys.IMAGES,
    keys.UNFINISHED,
    keys.REFUSED_EXPOSURES,
    keys.MISSED,
    keys.CATCH_UP_REQUESTS,
    keys.STATE_HISTORY,
)
STREAMS = (keys.DEAD_LETTERS, *(worker.mailbox for worker in Worker))
KEYS = (*FIELDS, *STRINGS, *LISTS, *SETS, *SORTED_SETS, *STREAMS)


async def write_good(cli: CommandRunner) -> None:
    """Write all records as the workers do."""
    now = time.time()
    builder = cli.ledger_builder
    await builder.exposure(OPEN, JOB, now - 30, Progress.ASSIGNED)
    await builder.exposure(COMPLETE, JOB - 1, now - 60)
    await cli.pair()
    await cli.csc(2, alive_boot="", alive_uptime="1")
    await cli.write_heartbeats(*Worker)
    event = StartIntegration(
        image_name=COMPLETE,
        image_index=1,
        images_in_sequence=1,
        image_date="20261122",
        exposure_time=1.0,
    )
    transaction = Transaction().count("images_accepted").count("dead_letters")
    transaction.command("HSET", keys.COUNTERS, "job", JOB)
    refused = RefusedExposure(
        number=1, refused_at=now - 5, reason="later", events={EventKind.START: event}
    )
    ImageLedger.record_refused(transaction, COMPLETE, refused)
    pending_acks.record(
        transaction,
        PendingAck(
            ack_id="ack",
            session_id=SESSION,
            epoch=EPOCH,
            queue="fwd1_consume",
            instruction=Instruction.XFER_PARAMS,
            obsid=OPEN,
        ),
    )
    listed = entry("fwd2").model_dump_json()
    transaction.command("LPUSH", keys.FORWARDER_LIST, listed)
    transaction.command(
        "HSET", keys.KNOWN_FORWARDERS, "fwd1_consume", entry("fwd1").model_dump_json()
    )
    attempt = AssociationAttempt(attempted_at=now, accepted=True)
    association_attempts.record(transaction, "fwd1_consume", attempt)
    stage_durations.observe(transaction, stage_durations.Stage.IMAGE, 0.001)
    process = SupervisedProcess(name="ccarchiver:sal", state=ProcessState.RUNNING, host="host")
    transaction.command("HSET", keys.SUPERVISED_PROCESSES, process.field, process.model_dump_json())
    transaction.command("SADD", keys.QUEUES_TO_PURGE, "fwd9_consume")
    dead_letters.add(transaction, cli.settings, origin="telemetry_queue", reason="bad", raw=b"x")
    write_missed(transaction, now)
    state_history.record(transaction, state_history.StateChange(at=now - 90, state="ENABLED"))
    await builder.write(transaction)


def write_missed(transaction: Transaction, now: float) -> None:
    """Add a missed image, a skipped one that a scan lists, and a scan that is answered."""
    missed = MissedImage(MISSED, now - 40, MissedBy.SCAN)
    ImageLedger.record_missed(transaction, [missed])
    ImageLedger.request_catch_up(transaction, [MISSED])
    ImageLedger.create_unaccepted(transaction, SKIPPED, ImageState.SKIPPED)
    fields: dict[str, Value] = {
        "number": SCAN_NUMBER,
        "state": ScanState.SENT,
        "hostname": "fwd1",
        "queue": "fwd1_consume",
        "requested_at": now - 2,
        "sent_at": now - 1,
        "names": 1,
    }
    transaction.set_fields(keys.SCAN, fields)
    transaction.command("RPUSH", keys.scan_names(SCAN_NUMBER), SKIPPED, MISSED)


async def spoil_value(redis: Redis, key: str, field: str, value: bytes) -> None:
    """Write garbage into one field of a hash, into a string, or as an entry."""
    if key in FIELDS:
        await redis.hset(key, field, value)
    elif key in STRINGS:
        await redis.set(key, value)
    elif key in LISTS:
        await redis.rpush(key, value)
    elif key in SETS:
        await redis.sadd(key, value)
    elif key in SORTED_SETS:
        await redis.zadd(key, {value: time.time()})
    else:
        await redis.xadd(key, {field or "message": value})


async def spoil_type(redis: Redis, key: str) -> None:
    """Replace a key by one of a wrong type."""
    await redis.delete(key)
    if key in STRINGS:
        await redis.rpush(key, "x")
    else:
        await redis.set(key, "x")
