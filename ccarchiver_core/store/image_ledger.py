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
``caught_up_at``                    SAL       Unix time at which a missed image was accepted
``refused:`` and a number           SAL       a later exposure of the same name, as JSON
==================================  ========  ======================================================
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import TypeAdapter

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.domain.exposure import EventKind, ExposureEvent, Instruction, SentInstruction
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageRecord, ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.image_summary import ImageSummary
from ccarchiver_core.domain.refused_exposure import NamedRefusal, RefusedExposure
from ccarchiver_core.redis.replies import read_hash, read_members, text
from ccarchiver_core.store import file_status_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    from ccarchiver_core.domain.file_status import FileStatus, FileStatusRecord
    from ccarchiver_core.domain.image_record import ReceivedEvent
    from ccarchiver_core.store.transaction import Transaction, Value

Parsed = TypeVar("Parsed")
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

WORDS = 1000
"""Words of one command in a transaction; Lua can pass some thousand to Redis."""

_EVENT: TypeAdapter[ExposureEvent] = TypeAdapter(ExposureEvent)

_SUMMARY_FIELDS = (
    *("obsid", "job", "at", "state", "finished", "failed", "failed_code", *COUNT_FIELDS.values()),
    *("missed_at", "missed_by", "caught_up_at"),
    *(f"{AT_PREFIX}{kind}" for kind in EventKind),
)


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
        return _parse(await read_hash(self._redis, keys.image(obsid)))

    async def watch(self, pipe: Pipeline, obsid: str) -> ImageRecord | None:
        """Return the record of an image.

        The pipeline's transaction fails if the record changes meanwhile.
        """
        await pipe.watch(keys.image(obsid))
        return _parse(await read_hash(pipe, keys.image(obsid)))

    async def open_images(self) -> list[str]:
        """Return the names of the open images, lowest job number first."""
        return await read_members(self._redis, keys.UNFINISHED)

    async def missed_images(self) -> list[str]:
        """Return the names of the missed images, oldest first."""
        return await read_members(self._redis, keys.MISSED)

    async def missed_by_numbers(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that are missed images which no scan has listed yet."""
        return [
            image.obsid
            for image in await self.read_summaries(names)
            if image.state is ImageState.MISSED and image.missed_by == MissedBy.NUMBERS
        ]

    async def read_skipped_events(self, obsid: str) -> dict[EventKind, ExposureEvent]:
        """Return the events of an image that arrived while the CSC was not ENABLED."""
        parser = _Parser(await read_hash(self._redis, keys.image(obsid)))
        found = {
            kind: parser.read(f"{SKIPPED_PREFIX}{kind}", _EVENT.validate_json) for kind in EventKind
        }
        return {kind: event for kind, event in found.items() if event is not None}

    async def read_times(self, begin: float) -> dict[str, float]:
        """Return the Unix times (UTC, seconds) of the images first seen from a time on."""
        found = await self._redis.zrangebyscore(keys.IMAGES, begin, "+inf", withscores=True)
        return {text(name): at for name, at in cast("list[tuple[bytes, float]]", found)}

    async def read_states(self, names: Iterable[str]) -> dict[str, str]:
        """Return the states of images as stored, also one that this version does not know.

        Images without a record are left out.
        """
        states: dict[str, str] = {}
        for some in batched(list(names), BATCH):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in some:
                    pipe.execute_command("HGET", keys.image(name), "state")
                values = await pipe.execute()
            for name, value in zip(some, values, strict=True):
                if value is not None:
                    states[name] = text(value)
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
                rows = await pipe.execute()
            for row in rows:
                pairs = zip(_SUMMARY_FIELDS, row, strict=True)
                fields = {name: text(value) for name, value in pairs if value is not None}
                if "state" in fields:
                    found.append(_summary(fields))
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
        members = await self._redis.zrevrangebyscore(
            keys.REFUSED_EXPOSURES, f"({end}", begin, start=0, num=limit
        )
        places = [text(member).rpartition(":") for member in cast("list[bytes]", members)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for obsid, _, number in places:
                pipe.execute_command("HMGET", keys.image(obsid), "at", f"{REFUSED_PREFIX}{number}")
            rows = await pipe.execute()
        found: list[NamedRefusal] = []
        for (obsid, _, number), (at, value) in zip(places, rows, strict=True):
            field = f"{REFUSED_PREFIX}{number}"
            parser = _Parser({} if value is None else {field: text(value), "at": text(at or b"0")})
            exposure = parser.read(field, RefusedExposure.model_validate_json)
            if exposure is not None:
                found.append(
                    NamedRefusal(obsid=obsid, first_at=parser.number("at"), exposure=exposure)
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
        """Remove an image from the index of missed images, because its state changes."""
        transaction.command("ZREM", keys.MISSED, obsid)

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
        transaction.set_fields(keys.image(obsid), {"failed": reason, "failed_code": code})
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


def _set_event(
    transaction: Transaction, obsid: str, field: str, event: ExposureEvent, received_at: float
) -> None:
    values: dict[str, Value] = {
        field: event.model_dump_json(),
        f"{AT_PREFIX}{event.kind}": round(received_at, 3),
    }
    transaction.set_fields(keys.image(obsid), values)


class _Parser:
    """Reads the JSON fields of one hash; a field that cannot be read is noted and omitted.

    One record of another version, or one that was changed by hand, must not stop a worker.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields
        self.unreadable: list[str] = []

    def read(self, name: str, parse: Callable[[str], Parsed]) -> Parsed | None:
        """Return the value of a field; None if it does not exist or cannot be read."""
        if name not in self._fields:
            return None
        try:
            return parse(self._fields[name])
        except (TypeError, ValueError):  # pydantic's ValidationError is one
            self.unreadable.append(name)
            return None

    def number(self, name: str) -> float:
        """Return a number; 0 if the field does not exist or cannot be read."""
        return self.read(name, float) or 0.0

    def sent(self, name: str) -> SentInstruction | None:
        """Return an instruction as it was sent."""
        return self.read(name, SentInstruction.model_validate_json)

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
        parsed = (self.read(name, RefusedExposure.model_validate_json) for name in names)
        found = [refused for refused in parsed if refused is not None]
        return sorted(found, key=lambda refused: refused.number)


def _parse(fields: dict[str, str]) -> ImageRecord | None:
    if "state" not in fields:
        return None
    parser = _Parser(fields)
    events = {kind: parser.read(kind, _EVENT.validate_json) for kind in EventKind}
    instructions = {one: parser.sent(one) for one in Instruction}
    superseded = {name: parser.sent(name) for name in fields if name.startswith(SUPERSEDED_PREFIX)}
    return ImageRecord(
        obsid=fields.get("obsid", ""),
        state=ImageState(fields["state"]),
        job=int(parser.number("job")),
        session_id=fields.get("session", ""),
        first_seen_at=parser.number("at"),
        waiting_since=clock.Instant.from_fields(fields, WAITING_PREFIX),
        events={kind: event for kind, event in events.items() if event is not None},
        event_times={
            kind: parser.number(f"{AT_PREFIX}{kind}")
            for kind in EventKind
            if f"{AT_PREFIX}{kind}" in fields
        },
        target_dir=fields.get("target_dir", ""),
        instructions={one: sent for one, sent in instructions.items() if sent is not None},
        superseded=[
            (Instruction(name.split(":")[1]), sent)
            for name, sent in superseded.items()
            if sent is not None
        ],
        statuses=parser.statuses(),
        retrieved_at=parser.number(f"{AT_PREFIX}{COUNT_FIELDS[StatusTopic.RETRIEVAL]}"),
        failure_reason=fields.get("failed", ""),
        failure_code=int(parser.number("failed_code")),
        finished_at=parser.number("finished"),
        retried_at=parser.number("retried_at"),
        replayed_at=parser.number("replayed_at"),
        missed_at=parser.number("missed_at"),
        missed_by=fields.get("missed_by", ""),
        caught_up_at=parser.number("caught_up_at"),
        # Of a separate parser: the first exposure goes on even if they cannot be read.
        refused=_Parser(fields).refused(),
        unreadable=tuple(parser.unreadable),
    )


def _event_times(fields: dict[str, str]) -> dict[EventKind, float]:
    names = {kind: f"{AT_PREFIX}{kind}" for kind in EventKind}
    return {kind: float(fields[name]) for kind, name in names.items() if name in fields}


def _summary(fields: dict[str, str]) -> ImageSummary:
    times = _event_times(fields)
    # The archiver wrote these values. A night has thousands of them, so they are not validated
    # again.
    return ImageSummary.model_construct(
        obsid=fields.get("obsid", ""),
        job=int(fields.get("job", "0")),
        state=ImageState(fields["state"]),
        at=float(fields.get("at", "0")),
        last_event_at=max(times.values(), default=None),
        events=len(times),
        finished=float(fields["finished"]) if "finished" in fields else None,
        retrieved=int(fields.get(COUNT_FIELDS[StatusTopic.RETRIEVAL], "0")),
        ingested=int(fields.get(COUNT_FIELDS[StatusTopic.IN_OODS], "0")),
        failed=fields.get("failed", ""),
        failed_code=int(fields.get("failed_code", "0")),
        missed_at=float(fields["missed_at"]) if "missed_at" in fields else None,
        missed_by=fields.get("missed_by", ""),
        is_caught_up="caught_up_at" in fields,
    )
