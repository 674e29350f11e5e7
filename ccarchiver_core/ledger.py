"""The ledger: one Redis hash for each image with all that is known of it, and two indexes.

Each field has one writer: SAL writes what it heard and reported, the bridge what it sent and was answered.

===================================  ======  =====================================================================
field                                writer  value
===================================  ======  =====================================================================
``obsid``, ``job``, ``at``           SAL     name, job number, Unix time (UTC, seconds) it was first heard of
``state``                            all     see `ImageState`
``session``                          SAL     the session it was accepted in
name of an `EventKind`               SAL     the event, as JSON
``retrieval|…``, ``in_oods|…``       SAL     the last status of a file, as JSON
``finished``                         all     Unix time of the end
``target_dir``, name of an `Order`   bridge  the Controller's answer; what was sent, as JSON
``failed``                           bridge  why it cannot go on
===================================  ======  =====================================================================
"""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.exposure import EndReadout, EventKind, Exposure, HeaderReady, Order, Sent, StartIntegration
from ccarchiver_core.mail import FileStatus, StatusTopic
from ccarchiver_core.redis_client import read_hash, read_members

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.exposure import ExposureEvent
    from ccarchiver_core.step import Step

STATUS_PREFIX = {StatusTopic.RETRIEVAL: "retrieval", StatusTopic.IN_OODS: "in_oods"}
"""How the ledger fields of each status topic begin."""

SEPARATOR = "|"
"""Between the parts of a status field's name; where a part has it itself, a backslash stands before it."""


class ImageState(enum.StrEnum):
    """How far an image is, in its ledger record."""

    ACCEPTED = "accepted"
    SKIPPED = "skipped"
    COMPLETE = "complete"
    FAILED = "failed"
    STALLED = "stalled"
    FOREIGN = "foreign"
    """Only a status of it is known: it was accepted before the ledger began, or by somebody else."""


def record_event(
    step: Step, *, obsid: str, job: int, session_id: str, event: ExposureEvent, state: ImageState, is_new: bool
) -> None:
    """Write an event of an image; the step is refused if the ledger has that event already.

    Parameters
    ----------
    is_new : `bool`
        Whether the ledger has no record of this image yet.
    """
    name = keys.image(obsid)
    step.require(name, event.kind, None)
    step.do("HSET", name, event.kind, event.model_dump_json())
    if is_new:
        step.set_fields(name, {"obsid": obsid, "job": job, "at": time.time(), "session": session_id, "state": state})
        step.do("ZADD", keys.IMAGES, time.time(), obsid)
        if state is ImageState.ACCEPTED:
            step.do("ZADD", keys.UNFINISHED, job, obsid)


def status_field(status: FileStatus) -> str:
    """Name the ledger field of a file's status: topic, raft, sensor, file."""
    parts = (
        part.replace("\\", "\\\\").replace(SEPARATOR, r"\|") for part in (status.raft, status.sensor, status.filename)
    )
    return SEPARATOR.join((STATUS_PREFIX[status.topic], *parts))


def file_of(status: FileStatus) -> str:
    """Name the CCD a status is about: by raft and sensor, or by file name if it lacks them."""
    if status.raft and status.sensor:
        return f"{status.raft}{SEPARATOR}{status.sensor}"
    return status.filename


def good_files(record: dict[str, str], topic: StatusTopic) -> set[str]:
    """Collect the CCDs whose last status under a topic is success."""
    prefix = STATUS_PREFIX[topic] + SEPARATOR
    statuses = (FileStatus.model_validate_json(value) for name, value in record.items() if name.startswith(prefix))
    return {file_of(status) for status in statuses if status.status_code == 0}


def files_reported_good(record: dict[str, str], topic: StatusTopic) -> int:
    """Count the CCDs whose last status under a topic is success."""
    return len(good_files(record, topic))


def finish(step: Step, obsid: str, state: ImageState) -> None:
    """Write that nothing more is to be done for an image."""
    step.set_fields(keys.image(obsid), {"state": state, "finished": time.time()})
    step.do("ZREM", keys.UNFINISHED, obsid)


def record_sent(step: Step, obsid: str, order: Order, sent: Sent) -> None:
    """Write that an order is with RabbitMQ."""
    step.do("HSET", keys.image(obsid), order, sent.model_dump_json())


async def read_record(redis: Redis, obsid: str) -> dict[str, str]:
    """Read all of one image's record; empty if there is none."""
    return await read_hash(redis, keys.image(obsid))


async def read_exposure(redis: Redis, obsid: str, files_per_image: int) -> Exposure | None:
    """Read what the bridge needs of one image; None if it was not accepted."""
    return exposure_from(await read_record(redis, obsid), files_per_image)


def exposure_from(record: dict[str, str], files_per_image: int) -> Exposure | None:
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
        failed=record.get("failed", ""),
        retrieved=files_reported_good(record, StatusTopic.RETRIEVAL) >= files_per_image,
        sent={order: Sent.model_validate_json(record[order]) for order in Order if order in record},
    )


async def unfinished(redis: Redis) -> list[str]:
    """Names of the unfinished images, oldest job first."""
    return await read_members(redis, keys.UNFINISHED)


def waits_for(record: dict[str, str], files_per_image: int) -> str:
    """Say who owes an image its next step, for a person.

    Parameters
    ----------
    record : `dict`
        The image's ledger record.
    files_per_image : `int`
        Files a complete image has.
    """
    if record.get("state") in (ImageState.COMPLETE, ImageState.FAILED, ImageState.SKIPPED, ImageState.FOREIGN):
        return "nothing"
    for name, who in _OWED_IN_ORDER.items():
        if name not in record:
            return who
    retrieved = files_reported_good(record, StatusTopic.RETRIEVAL)
    if retrieved < files_per_image:
        return f"the Forwarder: {retrieved} of {files_per_image} files retrieved"
    ingested = files_reported_good(record, StatusTopic.IN_OODS)
    return f"the OODS: {ingested} of {files_per_image} files ingested"


_OWED_IN_ORDER: dict[str, str] = {
    EventKind.START: "the camera's startIntegration",
    "target_dir": "the Controller's answer to NEW_CC_ARCHIVE_ITEM",
    Order.XFER_PARAMS: "a paired Forwarder",
    EventKind.END: "the camera's endReadout",
    EventKind.HEADER: "the header service's largeFileObjectAvailable",
}
"""Ledger fields in the order an image gets them, and who owes each."""


def record_outsider(step: Step, obsid: str, state: ImageState) -> None:
    """Begin the record of an image that was not accepted, so that what is known of it has a place."""
    name = keys.image(obsid)  # whoever accepts the image meanwhile is not overwritten
    step.do("HSETNX", name, "obsid", obsid).do("HSETNX", name, "job", 0)
    step.do("HSETNX", name, "at", time.time()).do("HSETNX", name, "state", state)
    step.do("ZADD", keys.IMAGES, "NX", time.time(), obsid)
