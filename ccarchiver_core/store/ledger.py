"""The ledger: one Redis hash for each image with all that is known of it, and two indexes.

Each field has one writer: SAL writes what it heard and reported, the bridge what it sent and was answered.

===================================  ======  =====================================================================
field                                writer  value
===================================  ======  =====================================================================
``obsid``, ``job``, ``at``           SAL     name, job number, Unix time (UTC, seconds) it was first heard of
``waiting_at``, ``…boot``, ``…``     SAL     since when it waits, by a clock nobody sets: `ccarchiver_core.base.clock`
``state``                            all     see `ImageState`
``session``                          SAL     the session it was accepted in
name of an `EventKind`               SAL     the event, as JSON
``at:`` and name of an `EventKind`   SAL     Unix time it came
``retrieval|…``, ``in_oods|…``       SAL     the last status of a file, see `ccarchiver_core.store.file_status_fields`
``retrieved``, ``ingested``          SAL     how many CCDs have been, with success
``at:retrieved``, ``at:ingested``    SAL     Unix time of the last such status
``finished``                         all     Unix time of the end
``target_dir``, name of an `Order`   bridge  the Controller's answer; what was sent, as JSON
``past:``, an order, its ACK_ID      bridge  an order to a Forwarder (or in a session) that is gone, as JSON
``failed``, ``failed_code``          all     why it cannot go on; the error code, 0 if it has none
``retried_at``, ``replayed_at``      people  Unix time of an operator's last `--retry`, and `--replay`
===================================  ======  =====================================================================
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.domain.exposure import (
    EndReadout,
    EventKind,
    Exposure,
    HeaderReady,
    Instruction,
    SentInstruction,
    StartIntegration,
)
from ccarchiver_core.domain.worker_messages import StatusTopic
from ccarchiver_core.redis.client import read_hash, read_members
from ccarchiver_core.store import file_status_fields

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.domain.exposure import ExposureEvent
    from ccarchiver_core.store.transaction import Transaction


class ImageState(enum.StrEnum):
    """How far an image is, in its ledger record."""

    ACCEPTED = "accepted"
    SKIPPED = "skipped"
    COMPLETE = "complete"
    FAILED = "failed"
    STALLED = "stalled"
    UNANNOUNCED = "unannounced"
    """Only a status of it is known: it was accepted before the ledger began, or by somebody else."""


AT_PREFIX = "at:"
"""How the fields begin that hold when something came."""

SUPERSEDED_PREFIX = "past:"
"""How the fields begin that hold orders which were sent again to somebody else."""


RETRIED_AT = "retried_at"
"""Field with the Unix time of an operator's last retry: what the image waits for, it waits for since then."""

WAITING = "waiting_"
"""How the fields begin that hold since when an image has waited; an operator's retry begins it anew."""


REPLAYED_AT = "replayed_at"
"""Field with the Unix time at which an operator had its orders sent again."""


@dataclass(frozen=True)
class ReceivedEvent:
    """An event of an image as it came, and the image it belongs to."""

    obsid: str
    job: int
    session_id: str
    event: ExposureEvent
    received_at: float
    """Unix time it came, UTC, seconds."""


def record_event(transaction: Transaction, heard: ReceivedEvent, state: ImageState, *, is_new: bool) -> None:
    """Write an event of an image; the step is refused if the ledger has that event already.

    Parameters
    ----------
    is_new : `bool`
        Whether the ledger has no record of this image yet.
    """
    name, kind = keys.image(heard.obsid), heard.event.kind
    transaction.require(name, kind, None)
    transaction.set_fields(
        name, {kind: heard.event.model_dump_json(), f"{AT_PREFIX}{kind}": round(heard.received_at, 3)}
    )
    if is_new:
        transaction.set_fields(
            name,
            {
                "obsid": heard.obsid,
                "job": heard.job,
                "at": heard.received_at,
                "session": heard.session_id,
                "state": state,
            },
        )
        transaction.set_fields(name, clock.at(heard.received_at).fields(WAITING))
        transaction.command("ZADD", keys.IMAGES, heard.received_at, heard.obsid).count(f"images_{state}")
        if state is ImageState.ACCEPTED:
            transaction.command("ZADD", keys.UNFINISHED, heard.job, heard.obsid)


def finish(transaction: Transaction, obsid: str, state: ImageState) -> None:
    """Write that nothing more is to be done for an image; what counts its waiting goes, a retry begins it anew."""
    transaction.set_fields(keys.image(obsid), {"state": state, "finished": round(time.time(), 3)})
    transaction.command("HDEL", keys.image(obsid), *(WAITING + name for name in (clock.WALL, clock.BOOT, clock.UPTIME)))
    transaction.command("ZREM", keys.UNFINISHED, obsid).count(f"images_{state}")


def fail(transaction: Transaction, obsid: str, reason: str, code: int = 0) -> None:
    """Write that an image cannot go on, and why; `code` is the error code of it, 0 if it has none."""
    transaction.set_fields(keys.image(obsid), {"failed": reason, "failed_code": code})
    finish(transaction, obsid, ImageState.FAILED)


def record_sent(transaction: Transaction, obsid: str, instruction: Instruction, sent: SentInstruction) -> None:
    """Write that an order is with RabbitMQ."""
    transaction.command("HSET", keys.image(obsid), instruction, sent.model_dump_json(exclude_defaults=True))


def record_superseded(transaction: Transaction, obsid: str, instruction: Instruction, sent: SentInstruction) -> None:
    """Keep an order that is to be sent anew to somebody else, for the image's history."""
    text = sent.model_dump_json(exclude_defaults=True)
    transaction.command("HSET", keys.image(obsid), f"{SUPERSEDED_PREFIX}{instruction}:{sent.ack_id}", text)


async def read_record(redis: Redis, obsid: str) -> dict[str, str]:
    """Read all of one image's record; empty if there is none."""
    return await read_hash(redis, keys.image(obsid))


async def read_exposure(redis: Redis, obsid: str, files_per_image: int) -> Exposure | None:
    """Read what the bridge needs of one image; None if it was not accepted."""
    return to_exposure(await read_record(redis, obsid), files_per_image)


def to_exposure(record: dict[str, str], files_per_image: int) -> Exposure | None:
    """Make an exposure of a ledger record; None if the image was not accepted, or is at its end."""
    if record.get("state") not in (ImageState.ACCEPTED, ImageState.STALLED):
        return None
    start, end, header = (record.get(kind) for kind in EventKind)
    return Exposure(
        obsid=record["obsid"],
        job=int(record["job"]),
        start=StartIntegration.model_validate_json(start) if start else None,
        end=EndReadout.model_validate_json(end) if end else None,
        header=HeaderReady.model_validate_json(header) if header else None,
        target_dir=record.get("target_dir", ""),
        failure_reason=record.get("failed", ""),
        retrieved=file_status_fields.count_good(record, StatusTopic.RETRIEVAL) >= files_per_image,
        sent={
            instruction: SentInstruction.model_validate_json(record[instruction])
            for instruction in Instruction
            if instruction in record
        },
        received_at={kind: float(record[f"{AT_PREFIX}{kind}"]) for kind in EventKind if f"{AT_PREFIX}{kind}" in record},
    )


async def unfinished(redis: Redis) -> list[str]:
    """Names of the unfinished images, oldest job first."""
    return await read_members(redis, keys.UNFINISHED)


def waiting_since(record: dict[str, str]) -> float:
    """Give the Unix time (UTC, seconds) from which an unfinished image's waiting counts."""
    return float(record.get(RETRIED_AT) or record.get("at") or time.time())


def age_s(record: dict[str, str]) -> float:
    """Give the seconds an unfinished image has waited; a clock that was set meanwhile does not count."""
    if WAITING + clock.WALL in record:
        return clock.seconds_since(record, WAITING)
    return time.time() - waiting_since(record)


def waiting_on(record: dict[str, str], files_per_image: int) -> str:
    """Say who owes an image its next step, for a person.

    Parameters
    ----------
    record : `dict`
        The image's ledger record.
    files_per_image : `int`
        Files a complete image has.
    """
    if record.get("state") in (ImageState.COMPLETE, ImageState.FAILED, ImageState.SKIPPED, ImageState.UNANNOUNCED):
        return "nothing"
    for name, who in _OWED_IN_ORDER.items():
        if name not in record:
            return who
    retrieved = file_status_fields.count_good(record, StatusTopic.RETRIEVAL)
    unsent = [
        instruction for instruction in (Instruction.END_READOUT, Instruction.HEADER_READY) if instruction not in record
    ]
    if retrieved < files_per_image and unsent:
        return f"the bridge, which has not sent {' and '.join(unsent)} yet: RabbitMQ, a paired Forwarder"
    if retrieved < files_per_image:
        return f"the Forwarder: {retrieved} of {files_per_image} files retrieved"
    ingested = file_status_fields.count_good(record, StatusTopic.IN_OODS)
    return f"the OODS: {ingested} of {files_per_image} files ingested"


_OWED_IN_ORDER: dict[str, str] = {
    EventKind.START: "the camera's startIntegration",
    "target_dir": "the Controller's answer to NEW_CC_ARCHIVE_ITEM",
    Instruction.XFER_PARAMS: "a paired Forwarder",
    EventKind.END: "the camera's endReadout",
    EventKind.HEADER: "the header service's largeFileObjectAvailable",
}
"""Ledger fields in the order an image gets them, and who owes each."""


def create_unaccepted(transaction: Transaction, obsid: str, state: ImageState) -> None:
    """Begin the record of an image that was not accepted, so that what is known of it has a place."""
    name = keys.image(obsid)  # whoever accepts the image meanwhile is not overwritten
    transaction.command("HSETNX", name, "obsid", obsid).command("HSETNX", name, "job", 0)
    transaction.command("HSETNX", name, "at", time.time()).command("HSETNX", name, "state", state)
    transaction.command("ZADD", keys.IMAGES, "NX", time.time(), obsid).count(f"images_{state}")
