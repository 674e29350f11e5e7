"""The ledger: one Redis hash for each image, and three indexes.

Only this module uses the fields of the hash.

The table names the workers that write each field. The operator's ``--retry`` and ``--replay`` also
change ``state``, the begin of waiting, ``finished``, ``failed``, ``failed_code``, ``target_dir``
and the instructions.

==================================  ========  ======================================================
field                               writer    value
==================================  ========  ======================================================
``obsid``, ``job``, ``at``          SAL       name, job number, Unix time first seen (UTC, seconds)
``waiting_at``, ``…boot``, ``…``    SAL       begin of waiting, `ccarchiver_core.base.clock.Instant`
``state``                           all       see `ImageState`
``session``                         SAL       the session that accepted it
name of an `EventKind`              SAL       an accepted event, as JSON
``skipped:`` and an `EventKind`     SAL       an event received while not ENABLED, as JSON
``at:`` and name of an `EventKind`  SAL       Unix time of receipt
``retrieval|…``, ``in_oods|…``      SAL       last status of a file, see `.file_status_fields`
``retrieved``, ``ingested``         SAL       number of CCDs with success
``at:retrieved``, ``at:ingested``   SAL       Unix time of the last such status
``finished``                        all       Unix time of the end
``target_dir``                      bridge    the directory that the Controller assigned
name of an `Instruction`            bridge    the instruction as sent, as JSON
``past:``, instruction, ACK_ID      bridge    an instruction that was superseded, as JSON
``failed``, ``failed_code``         bridge,   reason of a failure; error code, 0 if there is none
                                    health
``retried_at``, ``replayed_at``     operator  Unix time of the last ``--retry``, and ``--replay``
``missed_at``, ``missed_by``        health    Unix time at which it was found missed; `MissedBy`
``catch_up_requested_at``           operator  Unix time of the last request to archive it
``dismissed_at``, ``dismissal``     operator  Unix time and reason of a dismissal
``caught_up_at``                    SAL       Unix time at which a missed image was accepted
``refused:`` and a number           SAL       a later exposure of the same name, as JSON
==================================  ========  ======================================================
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import TypeAdapter
from redis.exceptions import ResponseError

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.domain.exposure import EventKind, ExposureEvent, Instruction, SentInstruction
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageRecord, ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.image_summary import ImageSummary
from ccarchiver_core.domain.image_times import TimedSummary
from ccarchiver_core.domain.record_types import MAX_UNIX_TIME
from ccarchiver_core.domain.refused_exposure import NamedRefusal, RefusedExposure
from ccarchiver_core.redis.replies import (
    is_wrong_type,
    raise_other_errors,
    read_hash,
    read_members,
    text,
    unless_wrong_type,
)
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT
from ccarchiver_core.store import file_status_fields, unreadable
from ccarchiver_core.store.field_parser import FieldParser, parse_time
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    from ccarchiver_core.domain.file_status import FileStatus, FileStatusRecord
    from ccarchiver_core.domain.image_record import ReceivedEvent
    from ccarchiver_core.store.transaction import Value
    from ccarchiver_core.store.transaction_pipeline import TransactionPipeline

Item = TypeVar("Item")

AT_PREFIX = "at:"
SKIPPED_PREFIX = "skipped:"
SUPERSEDED_PREFIX = "past:"
REFUSED_PREFIX = "refused:"
WAITING_PREFIX = "waiting_"

COUNT_FIELDS = {StatusTopic.RETRIEVAL: "retrieved", StatusTopic.IN_OODS: "ingested"}
"""The field that counts the CCDs with success, by topic."""

MAX_REFUSED = 20
"""Refused exposures that a record keeps; the last one is overwritten by each further one."""

BATCH = 1000
"""Records requested in one round trip: some hundred kilobytes."""

SEQUENCE_S = 1e-6
"""Difference of the times of two images of one request, which keeps their sequence."""

WORDS = 1000
"""Words of one command in a transaction; Lua can pass some thousand to Redis."""

_EVENT: TypeAdapter[ExposureEvent] = TypeAdapter(ExposureEvent)

_WRONG_TYPE = "the key is not a hash"

_EVENT_TIMES = tuple(f"{AT_PREFIX}{kind}" for kind in EventKind)

_START_TIME = f"{AT_PREFIX}{EventKind.START}"

_STATE_FIELDS = ("state", "obsid")
"""The state, and a field that each record has."""

_SUMMARY_FIELDS = (
    *("obsid", "job", "at", "state", "finished", "failed", "failed_code", *COUNT_FIELDS.values()),
    *("missed_at", "missed_by", "catch_up_requested_at", "dismissal", "caught_up_at"),
    *_EVENT_TIMES,
)

_TIME_FIELDS = (*Instruction, *(f"{AT_PREFIX}{name}" for name in COUNT_FIELDS.values()))
"""Further fields that a summary with times needs."""

TIMED_BATCH = 100
"""Records with times requested in one round trip.

To parse them takes some milliseconds, during which the status page's process does nothing else.
"""


class ImageLedger:
    """The records of all images.

    The methods that take a transaction add their writes to it. The others read.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        The archiver's database.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, obsid: str) -> ImageRecord | None:
        """Return the record of an image; None if there is none."""
        return _parse(obsid, await _read_record(self._redis, obsid))

    async def read_many(self, names: Sequence[str]) -> list[ImageRecord | None]:
        """Return the records of images in one round trip; None for each without one."""
        async with (
            asyncio.timeout(COMMAND_TIMEOUT),
            self._redis.pipeline(transaction=False) as pipe,
        ):
            for obsid in names:
                pipe.execute_command("HGETALL", keys.image(obsid))
            rows = raise_other_errors(await pipe.execute(raise_on_error=False))
        return [
            _parse(obsid, None if isinstance(row, ResponseError) else _as_text(row))
            for obsid, row in zip(names, rows, strict=True)
        ]

    async def read_raw(self, obsid: str) -> dict[str, str]:
        """Return the fields of a record as they are; empty without a hash."""
        return await read_hash(self._redis, keys.image(obsid))

    async def rebuild_indexes(self, transactions: TransactionPipeline) -> None:
        """Add all images to the indexes again, from their records.

        An index is lost if a person has replaced it.
        """
        pattern = keys.image("*")
        async for name in self._redis.scan_iter(match=pattern, count=BATCH):
            obsid = text(name).removeprefix(keys.image(""))
            record = await self.read(obsid)
            if record is None:
                continue
            transaction = Transaction()
            transaction.command("ZADD", keys.IMAGES, "NX", record.first_seen_at, obsid)
            if record.is_open or (record.state is ImageState.UNREADABLE and not record.finished_at):
                transaction.command("ZADD", keys.UNFINISHED, "NX", record.job, obsid)
            if record.state is ImageState.MISSED:
                transaction.command("ZADD", keys.MISSED, "NX", record.first_seen_at, obsid)
                if record.catch_up_requested_at:
                    requested = (record.catch_up_requested_at, obsid)
                    transaction.command("ZADD", keys.CATCH_UP_REQUESTS, "NX", *requested)
            for refused in record.refused:
                member = f"{obsid}:{refused.number}"
                transaction.command("ZADD", keys.REFUSED_EXPOSURES, refused.refused_at, member)
            await transactions.apply(transaction)

    async def watch(self, pipe: Pipeline, obsid: str) -> ImageRecord | None:
        """Return the record of an image.

        The pipeline's transaction fails if the record changes meanwhile.
        """
        await pipe.watch(keys.image(obsid))
        return _parse(obsid, await _read_record(pipe, obsid))

    async def open_images(self) -> list[str]:
        """Return the names of the open images, lowest job number first."""
        return await read_members(self._redis, keys.UNFINISHED)

    async def missed_images(self) -> list[str]:
        """Return the names of the missed images, oldest first."""
        return await read_members(self._redis, keys.MISSED)

    async def requested_images(self) -> list[str]:
        """Return the missed images that an operator wants archived, oldest request first."""
        return await read_members(self._redis, keys.CATCH_UP_REQUESTS)

    async def missed_by_numbers(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that are missed images which no scan has listed yet.

        One whose ``missed_by`` cannot be read is among them, so the next scan writes it again.
        """
        return [
            image.obsid
            for image in await self.read_summaries(names)
            if image.state is ImageState.MISSED and image.missed_by != MissedBy.SCAN
        ]

    async def read_skipped_events(self, obsid: str) -> dict[EventKind, ExposureEvent]:
        """Return the events of an image that arrived while the CSC was not ENABLED."""
        name = keys.image(obsid)
        parser = _ImageParser(name, await read_hash(self._redis, name))
        found = {
            kind: parser.read(f"{SKIPPED_PREFIX}{kind}", _EVENT.validate_json) for kind in EventKind
        }
        return {kind: event for kind, event in found.items() if event is not None}

    async def read_times(self, begin: float) -> dict[str, float]:
        """Return the Unix times (UTC, seconds) of the images first seen from a time on."""
        reply = self._redis.zrangebyscore(keys.IMAGES, begin, MAX_UNIX_TIME, withscores=True)
        found = await unless_wrong_type(reply, list[tuple[bytes, float]]())
        return {text(name): at for name, at in found}

    async def read_states(self, names: Iterable[str]) -> dict[str, ImageState]:
        """Return the states of images. Images without a record are left out.

        The state of a record is `ImageState.UNREADABLE` if the field is missing or unknown.
        """
        states: dict[str, ImageState] = {}
        for some in batched(list(names), BATCH):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in some:
                    pipe.execute_command("HMGET", keys.image(name), *_STATE_FIELDS)
                rows = raise_other_errors(await pipe.execute(raise_on_error=False))
            for name, row in zip(some, rows, strict=True):
                state = _state(name, row)
                if state is not None:
                    states[name] = state
        return states

    async def read_summaries(self, names: Iterable[str]) -> list[ImageSummary]:
        """Return the summaries of images in the sequence of ``names``.

        Images without a record are left out.
        """
        todo = list(names)
        found: list[ImageSummary] = []
        for start in range(0, len(todo), BATCH):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in todo[start : start + BATCH]:
                    pipe.execute_command("HMGET", keys.image(name), *_SUMMARY_FIELDS)
                rows = raise_other_errors(await pipe.execute(raise_on_error=False))
            for name, row in zip(todo[start : start + BATCH], rows, strict=True):
                summary = _summary(name, row)
                if summary is not None:
                    found.append(summary)
        return found

    async def read_timed_summaries(self, names: Iterable[str]) -> list[TimedSummary]:
        """Return the summaries of images with their times, in the sequence of ``names``.

        Images without a record are left out.
        """
        found: list[TimedSummary] = []
        for some in batched(list(names), TIMED_BATCH):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in some:
                    pipe.execute_command("HMGET", keys.image(name), *_SUMMARY_FIELDS, *_TIME_FIELDS)
                rows = raise_other_errors(await pipe.execute(raise_on_error=False))
            parsed = (_timed_summary(name, row) for name, row in zip(some, rows, strict=True))
            found += [one for one in parsed if one is not None]
        return found

    async def read_refused(
        self, begin: float, end: float, limit: int = BATCH
    ) -> list[NamedRefusal]:
        """Return the newest refused exposures of [begin, end), oldest first.

        Parameters
        ----------
        begin, end : `float`
            Unix times, UTC, seconds.
        limit : `int`
            Maximum number of exposures.
        """
        reply = self._redis.zrevrangebyscore(
            keys.REFUSED_EXPOSURES, f"({end}", begin, start=0, num=limit
        )
        members = await unless_wrong_type(reply, list[bytes]())
        places = [text(member).rpartition(":") for member in members]
        async with self._redis.pipeline(transaction=False) as pipe:
            for obsid, _, number in places:
                pipe.execute_command("HMGET", keys.image(obsid), "at", f"{REFUSED_PREFIX}{number}")
            rows = raise_other_errors(await pipe.execute(raise_on_error=False))
        found: list[NamedRefusal] = []
        for (obsid, _, number), row in zip(places, rows, strict=True):
            at, value = (None, None) if isinstance(row, ResponseError) else row
            field = f"{REFUSED_PREFIX}{number}"
            fields = {} if value is None else {field: text(value), "at": text(at or b"0")}
            parser = _ImageParser(keys.image(obsid), fields)
            exposure = parser.model(field, RefusedExposure)
            if exposure is not None:
                found.append(
                    NamedRefusal(obsid=obsid, first_at=parser.time("at"), exposure=exposure)
                )
        return found[::-1]

    # ---- events

    @staticmethod
    def record_event(
        transaction: Transaction, received: ReceivedEvent, state: ImageState, *, is_new: bool
    ) -> None:
        """Record an event. The precondition is that the ledger does not have this event yet.

        Parameters
        ----------
        transaction : `Transaction`
            Gets the writes.
        received : `ReceivedEvent`
            The event and the image it belongs to.
        state : `ImageState`
            The state of a new image.
        is_new : `bool`
            Whether the image has not been accepted before.
        """
        name, kind = keys.image(received.obsid), received.event.kind
        transaction.require(name, kind, None)
        ImageLedger.record_late_event(
            transaction, received.obsid, received.event, received.received_at
        )
        if not is_new:
            return
        fields: dict[str, Value] = {
            "obsid": received.obsid,
            "job": received.job,
            "at": received.received_at,
            "session": received.session_id,
            "state": state,
        }
        transaction.set_fields(name, fields)
        transaction.set_fields(name, clock.at(received.received_at).fields(WAITING_PREFIX))
        transaction.command("ZADD", keys.IMAGES, received.received_at, received.obsid)
        transaction.count(f"images_{state}")
        if state is ImageState.ACCEPTED:
            transaction.command("ZADD", keys.UNFINISHED, received.job, received.obsid)

    @staticmethod
    def record_late_event(
        transaction: Transaction, obsid: str, event: ExposureEvent, received_at: float
    ) -> None:
        """Record an event of an image that is in the ledger, and nothing else."""
        _set_event(transaction, obsid, event.kind, event, received_at)

    @staticmethod
    def record_skipped_event(
        transaction: Transaction, obsid: str, event: ExposureEvent, received_at: float
    ) -> None:
        """Record an event that was received while the CSC was not ENABLED."""
        _set_event(transaction, obsid, f"{SKIPPED_PREFIX}{event.kind}", event, received_at)

    @staticmethod
    def record_refused(transaction: Transaction, obsid: str, refused: RefusedExposure) -> None:
        """Record a later exposure of a name. The record of the first one is not changed."""
        field = f"{REFUSED_PREFIX}{refused.number}"
        transaction.command("HSET", keys.image(obsid), field, refused.model_dump_json())
        transaction.command(
            "ZADD", keys.REFUSED_EXPOSURES, refused.refused_at, f"{obsid}:{refused.number}"
        )

    @staticmethod
    def record_missed(transaction: Transaction, images: Sequence[MissedImage]) -> None:
        """Record images as missed. The precondition is that the state of none has changed."""
        now = round(time.time(), 3)
        for image in images:
            before = ImageState.SKIPPED if image.was_skipped else None
            ImageLedger.require_state(transaction, image.obsid, before)
            fields: dict[str, Value] = {
                "state": ImageState.MISSED,
                "missed_at": now,
                "missed_by": image.missed_by,
            }
            if not image.was_skipped:
                fields |= {"obsid": image.obsid, "job": 0, "at": image.at}
            transaction.set_fields(keys.image(image.obsid), fields)
        for some in batched(images, WORDS // 2):
            scores = [word for image in some for word in (image.at, image.obsid)]
            transaction.command("ZADD", keys.IMAGES, "NX", *scores)
            transaction.command("ZADD", keys.MISSED, *scores)
        if images:
            transaction.count(f"images_{ImageState.MISSED}", len(images))

    @staticmethod
    def confirm_missed(transaction: Transaction, names: Iterable[str]) -> None:
        """Record that a scan lists missed images. The precondition is that they are missed."""
        for obsid in names:
            ImageLedger.require_state(transaction, obsid, ImageState.MISSED)
            transaction.set_fields(keys.image(obsid), {"missed_by": MissedBy.SCAN})

    @staticmethod
    def request_catch_up(transaction: Transaction, names: Iterable[str]) -> None:
        """Record an operator's request to archive missed images, in the sequence of the names."""
        now = round(time.time(), 3)
        for place, obsid in enumerate(names):
            transaction.set_fields(keys.image(obsid), {"catch_up_requested_at": now})
            score = now + place * SEQUENCE_S
            transaction.command("ZADD", keys.CATCH_UP_REQUESTS, "NX", score, obsid)

    @staticmethod
    def dismiss(transaction: Transaction, names: Iterable[str], reason: str) -> None:
        """Record that missed images will not be archived. They no longer count as missing."""
        now = round(time.time(), 3)
        for obsid in names:
            fields: dict[str, Value] = {
                "state": ImageState.DISMISSED,
                "dismissed_at": now,
                "dismissal": reason,
            }
            transaction.set_fields(keys.image(obsid), fields)
            ImageLedger.end_missed(transaction, obsid)
            transaction.count("images_dismissed")

    @staticmethod
    def change_dismissal(transaction: Transaction, names: Iterable[str], reason: str) -> None:
        """Replace the reason of images that were dismissed before."""
        for obsid in names:
            transaction.set_fields(keys.image(obsid), {"dismissal": reason})

    @staticmethod
    def end_dismissal(transaction: Transaction, obsid: str, at: float) -> None:
        """Make a dismissed image, whose exposure was at a Unix time, missed again."""
        transaction.set_fields(keys.image(obsid), {"state": ImageState.MISSED})
        transaction.command("ZADD", keys.MISSED, at, obsid)

    @staticmethod
    def accept_missed(
        transaction: Transaction,
        obsid: str,
        *,
        job: int,
        session_id: str,
        events: Iterable[ExposureEvent],
    ) -> None:
        """Accept a missed image with the events that are known of it.

        Its time in the list of images remains, so that it stays in its night. The precondition is
        that it is still missed.
        """
        name, now = keys.image(obsid), clock.now()
        ImageLedger.require_state(transaction, obsid, ImageState.MISSED)
        fields: dict[str, Value] = {
            "state": ImageState.ACCEPTED,
            "job": job,
            "session": session_id,
            "caught_up_at": round(now.wall, 3),
        }
        transaction.set_fields(name, fields)
        transaction.set_fields(name, now.fields(WAITING_PREFIX))
        for event in events:
            ImageLedger.record_late_event(transaction, obsid, event, now.wall)
        ImageLedger.end_missed(transaction, obsid)
        transaction.command("ZADD", keys.UNFINISHED, job, obsid)
        transaction.count(f"images_{ImageState.ACCEPTED}").count("images_caught_up")

    @staticmethod
    def end_missed(transaction: Transaction, obsid: str) -> None:
        """Remove an image from the indexes of missed images, because its state changes."""
        transaction.command("ZREM", keys.MISSED, obsid)
        transaction.command("ZREM", keys.CATCH_UP_REQUESTS, obsid)

    @staticmethod
    def create_unaccepted(transaction: Transaction, obsid: str, state: ImageState) -> None:
        """Create the record of an image that was not accepted. Existing fields are kept."""
        name, now = keys.image(obsid), time.time()
        for field, value in (("obsid", obsid), ("job", 0), ("at", now), ("state", state)):
            transaction.command("HSETNX", name, field, value)
        transaction.command("ZADD", keys.IMAGES, "NX", now, obsid).count(f"images_{state}")

    # ---- instructions

    @staticmethod
    def record_instruction(
        transaction: Transaction, obsid: str, instruction: Instruction, sent: SentInstruction
    ) -> None:
        """Record an instruction as it was sent, sent again, or acknowledged."""
        value = sent.model_dump_json(exclude_defaults=True)
        transaction.command("HSET", keys.image(obsid), instruction, value)

    @staticmethod
    def record_superseded(
        transaction: Transaction, obsid: str, instruction: Instruction, sent: SentInstruction
    ) -> None:
        """Keep an instruction that will be sent again to another peer, for the image's history."""
        field = f"{SUPERSEDED_PREFIX}{instruction}:{sent.ack_id}"
        value = sent.model_dump_json(exclude_defaults=True)
        transaction.command("HSET", keys.image(obsid), field, value)

    @staticmethod
    def record_target_dir(transaction: Transaction, obsid: str, target_dir: str) -> None:
        """Record the directory that the Controller assigned."""
        transaction.command("HSET", keys.image(obsid), "target_dir", target_dir)

    # ---- statuses

    @staticmethod
    def record_status(
        transaction: Transaction, status: FileStatus, published_at: float, good_count: int
    ) -> None:
        """Record a published status.

        Parameters
        ----------
        transaction : `Transaction`
            Gets the writes.
        status : `FileStatus`
            The status.
        published_at : `float`
            Unix time, UTC, seconds.
        good_count : `int`
            Number of CCDs with success under the status' topic, including this one.
        """
        counted = COUNT_FIELDS[status.topic]
        fields: dict[str, Value] = {
            file_status_fields.field_of(status): file_status_fields.value_of(status, published_at),
            counted: good_count,
        }
        if status.status_code == 0:
            fields[f"{AT_PREFIX}{counted}"] = round(published_at, 3)
        transaction.set_fields(keys.image(status.obsid), fields)

    # ---- states

    @staticmethod
    def require_state(transaction: Transaction, obsid: str, state: ImageState | None) -> None:
        """Add the precondition that an image is in a state; None means that it has no record."""
        transaction.require(keys.image(obsid), "state", state)

    @staticmethod
    def mark_stalled(transaction: Transaction, obsid: str) -> None:
        """Mark an image as stalled. The precondition is that its state is still accepted."""
        ImageLedger.require_state(transaction, obsid, ImageState.ACCEPTED)
        transaction.set_fields(keys.image(obsid), {"state": ImageState.STALLED})
        transaction.count("images_stalled")

    @staticmethod
    def finish(transaction: Transaction, obsid: str, state: ImageState) -> None:
        """Record the end of an image. Its waiting time is removed; a retry restarts it."""
        name = keys.image(obsid)
        transaction.set_fields(name, {"state": state, "finished": round(time.time(), 3)})
        waiting = (WAITING_PREFIX + part for part in (clock.WALL, clock.BOOT, clock.UPTIME))
        transaction.command("HDEL", name, *waiting)
        transaction.command("ZREM", keys.UNFINISHED, obsid).count(f"images_{state}")

    @staticmethod
    def fail(transaction: Transaction, obsid: str, reason: str, code: int = 0) -> None:
        """Record that an image failed, with the reason and the error code (0 if there is none)."""
        fields: dict[str, Value] = {"obsid": obsid, "failed": reason, "failed_code": code}
        transaction.set_fields(keys.image(obsid), fields)
        ImageLedger.finish(transaction, obsid, ImageState.FAILED)

    @staticmethod
    def retry(transaction: Transaction, record: ImageRecord) -> None:
        """Start a failed image again from the Controller. Its waiting time restarts now."""
        name = keys.image(record.obsid)
        transaction.command("HDEL", name, "failed", "failed_code", "finished", "target_dir")
        now = clock.now()
        transaction.set_fields(
            name, {"state": ImageState.ACCEPTED, "retried_at": round(now.wall, 3)}
        )
        transaction.set_fields(name, now.fields(WAITING_PREFIX))
        ImageLedger._mark_unsent(transaction, record, Instruction)
        transaction.command("ZADD", keys.UNFINISHED, record.job, record.obsid)
        transaction.count("images_retried")

    @staticmethod
    def replay(
        transaction: Transaction, record: ImageRecord, instructions: Iterable[Instruction]
    ) -> None:
        """Mark instructions of an open image as not sent, so that the bridge sends them again."""
        transaction.set_fields(keys.image(record.obsid), {"replayed_at": round(time.time(), 3)})
        ImageLedger._mark_unsent(transaction, record, instructions)

    @staticmethod
    def _mark_unsent(
        transaction: Transaction, record: ImageRecord, instructions: Iterable[Instruction]
    ) -> None:
        for instruction in instructions:
            sent = record.instructions.get(instruction)
            if sent is not None:
                # An instruction whose session and epoch are not the current ones is due.
                unsent = sent.model_copy(update={"epoch": -1, "session_id": ""})
                ImageLedger.record_instruction(transaction, record.obsid, instruction, unsent)

    # ---- removal

    @staticmethod
    def delete(transaction: Transaction, obsid: str) -> None:
        """Delete the record of an image."""
        transaction.command("DEL", keys.image(obsid)).command("ZREM", keys.IMAGES, obsid)
        ImageLedger.end_missed(transaction, obsid)
        refused = (f"{obsid}:{number}" for number in range(1, MAX_REFUSED + 1))
        transaction.command("ZREM", keys.REFUSED_EXPOSURES, *refused)

    @staticmethod
    def close_missing(transaction: Transaction, obsid: str) -> None:
        """Remove an image without a record from the index of open images."""
        transaction.command("ZREM", keys.UNFINISHED, obsid)


def batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in slices of a maximum size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def _read_record(redis: Redis, obsid: str) -> dict[str, str] | None:
    """Return the fields of a record, empty without one; None if the key has another type."""
    try:
        raw = cast("dict[bytes, bytes]", await redis.hgetall(keys.image(obsid)))
    except ResponseError as error:
        if is_wrong_type(error):
            return None
        raise
    return _as_text(raw)


def _as_text(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    return {text(name): text(value) for name, value in raw.items()}


async def read_last_job(redis: Redis) -> int:
    """Return the last job number; that of the newest image if the counter cannot be read.

    A job number must never be used twice within a session, because it is part of the ACK_IDs.
    """
    fields = await read_hash(redis, keys.COUNTERS)
    parser = FieldParser(keys.COUNTERS, fields)
    job = parser.integer("job")
    if "job" in fields and not parser.unreadable:
        return job
    images = ImageLedger(redis)
    names = {*await read_members(redis, keys.IMAGES), *await images.open_images()}
    return max((image.job for image in await images.read_summaries(names)), default=0)


def _set_event(
    transaction: Transaction, obsid: str, field: str, event: ExposureEvent, received_at: float
) -> None:
    values: dict[str, Value] = {
        field: event.model_dump_json(),
        f"{AT_PREFIX}{event.kind}": round(received_at, 3),
    }
    transaction.set_fields(keys.image(obsid), values)


class _ImageParser(FieldParser):
    """Parser of an image record."""

    def sent(self, name: str) -> SentInstruction | None:
        """Return an instruction as it was sent."""
        return self.model(name, SentInstruction)

    def superseded(self) -> list[tuple[Instruction, SentInstruction]]:
        """Return the instructions that were superseded."""
        names = [name for name in self._fields if name.startswith(SUPERSEDED_PREFIX)]
        parsed = (self.read(name, functools.partial(_superseded, name)) for name in names)
        return [one for one in parsed if one is not None]

    def statuses(self) -> list[FileStatusRecord]:
        """Return the last status of each file and topic, oldest first."""
        names = [name for name in self._fields if file_status_fields.is_status(name)]
        parsed = (
            self.read(name, functools.partial(file_status_fields.read_field, name))
            for name in names
        )
        found = [status for status in parsed if status is not None]
        return sorted(found, key=lambda status: status.published_at)

    def refused(self) -> list[RefusedExposure]:
        """Return the refused exposures of this name, oldest first."""
        names = [name for name in self._fields if name.startswith(REFUSED_PREFIX)]
        parsed = (self.model(name, RefusedExposure) for name in names)
        found = [refused for refused in parsed if refused is not None]
        return sorted(found, key=lambda refused: refused.number)

    def missed_by(self) -> str:
        """Return what has shown that the image was missed; empty if it was never missed."""
        return self.read("missed_by", MissedBy) or ""

    def waiting_since(self) -> clock.Instant | None:
        """Return the begin of waiting."""
        since = clock.Instant.from_fields(self._fields, WAITING_PREFIX)
        if since is None:
            self.time(WAITING_PREFIX + clock.WALL)  # reports it if it exists
        return since


def _superseded(name: str, value: str) -> tuple[Instruction, SentInstruction]:
    instruction = Instruction(name.split(":")[1])
    return instruction, SentInstruction.model_validate_json(value)


def _parse(obsid: str, fields: dict[str, str] | None) -> ImageRecord | None:
    """Return the record in a hash; None stands for a key of another type."""
    if fields is None:
        unreadable.report(keys.image(obsid), "", _WRONG_TYPE)
        return ImageRecord(obsid, ImageState.UNREADABLE, unreadable=(_WRONG_TYPE,))
    if not fields:
        return None
    parser = _ImageParser(keys.image(obsid), fields)
    state = parser.read("state", ImageState)
    if "state" not in fields:
        unreadable.report(keys.image(obsid), "state", "missing")
        parser.unreadable.append("state")
    events = {kind: parser.read(kind, _EVENT.validate_json) for kind in EventKind}
    instructions = {one: parser.sent(one) for one in Instruction}
    return ImageRecord(
        obsid=obsid,
        state=state or ImageState.UNREADABLE,
        job=parser.integer("job"),
        session_id=fields.get("session", ""),
        first_seen_at=parser.time("at"),
        waiting_since=parser.waiting_since(),
        events={kind: event for kind, event in events.items() if event is not None},
        event_times={
            kind: parser.time(f"{AT_PREFIX}{kind}")
            for kind in EventKind
            if f"{AT_PREFIX}{kind}" in fields
        },
        target_dir=fields.get("target_dir", ""),
        instructions={one: sent for one, sent in instructions.items() if sent is not None},
        superseded=parser.superseded(),
        statuses=parser.statuses(),
        retrieved_at=parser.time(f"{AT_PREFIX}{COUNT_FIELDS[StatusTopic.RETRIEVAL]}"),
        failure_reason=fields.get("failed", ""),
        failure_code=parser.integer("failed_code"),
        finished_at=parser.time("finished"),
        retried_at=parser.time("retried_at"),
        replayed_at=parser.time("replayed_at"),
        missed_at=parser.time("missed_at"),
        missed_by=parser.missed_by(),
        catch_up_requested_at=parser.time("catch_up_requested_at"),
        dismissed_at=parser.time("dismissed_at"),
        dismissal=fields.get("dismissal", ""),
        caught_up_at=parser.time("caught_up_at"),
        # Of a separate parser: the first exposure goes on even if they cannot be read.
        refused=_ImageParser(keys.image(obsid), fields).refused(),
        unreadable=tuple(parser.unreadable),
    )


def _state(obsid: str, row: list[bytes | None] | ResponseError) -> ImageState | None:
    """Return the state in a reply to HMGET; None without a record."""
    if isinstance(row, ResponseError):
        return ImageState.UNREADABLE
    fields = {
        name: text(value)
        for name, value in zip(_STATE_FIELDS, row, strict=True)
        if value is not None
    }
    if not fields:
        return None
    return _ImageParser(keys.image(obsid), fields).read("state", ImageState) or (
        ImageState.UNREADABLE
    )


def _summary(obsid: str, row: list[bytes | None] | ResponseError) -> ImageSummary | None:
    """Return the summary in a reply to HMGET; None without a record."""
    if isinstance(row, ResponseError):
        unreadable.report(keys.image(obsid), "", _WRONG_TYPE)
        row = []
        state: ImageState | None = ImageState.UNREADABLE
    else:
        state = None
    pairs = zip(_SUMMARY_FIELDS, row, strict=False)
    fields = {name: text(value) for name, value in pairs if value is not None}
    if state is None and not fields:
        return None
    parser = _ImageParser(keys.image(obsid), fields)
    state = state or parser.read("state", ImageState) or ImageState.UNREADABLE
    times = [parser.time(name) for name in _EVENT_TIMES if name in fields]
    # A night has thousands of summaries, so they are not validated again.
    return ImageSummary.model_construct(
        obsid=obsid,
        job=parser.integer("job"),
        state=state,
        at=parser.time("at"),
        last_event_at=max(times, default=None),
        events=len(times),
        has_start=_START_TIME in fields,
        finished=parser.read("finished", parse_time),
        retrieved=parser.integer(COUNT_FIELDS[StatusTopic.RETRIEVAL]),
        ingested=parser.integer(COUNT_FIELDS[StatusTopic.IN_OODS]),
        failed=fields.get("failed", ""),
        failed_code=parser.integer("failed_code"),
        missed_at=parser.read("missed_at", parse_time),
        missed_by=parser.missed_by(),
        is_requested="catch_up_requested_at" in fields,
        dismissal=fields.get("dismissal", ""),
        is_caught_up="caught_up_at" in fields,
    )


def _timed_summary(obsid: str, row: list[bytes | None] | ResponseError) -> TimedSummary | None:
    """Return the summary with times in a reply to HMGET; None without a record."""
    if isinstance(row, ResponseError):
        summary = _summary(obsid, row)
        return None if summary is None else TimedSummary(summary)
    summary = _summary(obsid, row[: len(_SUMMARY_FIELDS)])
    if summary is None:
        return None
    pairs = zip((*_SUMMARY_FIELDS, *_TIME_FIELDS), row, strict=True)
    fields = {str(name): text(value) for name, value in pairs if value is not None}
    parser = _ImageParser(keys.image(obsid), fields)
    instructions = {one: parser.sent(one) for one in Instruction}
    return TimedSummary(
        summary,
        event_times={
            kind: parser.time(f"{AT_PREFIX}{kind}")
            for kind in EventKind
            if f"{AT_PREFIX}{kind}" in fields
        },
        instructions={one: sent for one, sent in instructions.items() if sent is not None},
        retrieved_at=parser.time(f"{AT_PREFIX}{COUNT_FIELDS[StatusTopic.RETRIEVAL]}"),
        ingested_at=parser.time(f"{AT_PREFIX}{COUNT_FIELDS[StatusTopic.IN_OODS]}"),
    )
