"""An operator's second try: a failed image from its start, or an unfinished one's orders once more.

Nothing is sent from here. An order in the ledger is marked as sent to nobody, and the bridge asks its usual question,
what must go out now: same ACK_IDs, same order within the image, and the earlier order is kept as ``past:``.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel
from redis.exceptions import WatchError

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.domain.exposure import EventKind, Instruction, SentInstruction
from ccarchiver_core.domain.worker_messages import SessionChanged, StatusTopic
from ccarchiver_core.redis.client import COMMAND_TIMEOUT, read_hash, transact
from ccarchiver_core.status.timeline import last_progress_at, message_names
from ccarchiver_core.store import file_status_fields, ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

NOBODY = {"epoch": -1, "session_id": ""}
"""What an order was sent under that is to be sent again: no pairing and no session."""

SENDS = 2
"""Times the bridge sends an order by itself before it gives up: as long an image is left alone."""

Write = tuple[str | bytes | int, ...]


class Result(BaseModel):
    """What was done about one image, or why nothing was."""

    image: str
    done: bool
    text: str


async def retry(redis: Redis, obsid: str) -> Result:
    """Give a failed image another try from the start; safe to repeat and while the workers run.

    The bridge asks the Controller for a directory again as soon as it hears of it.
    """
    result = await _change(redis, obsid, _retried)
    await _notify_bridge(redis, [result])
    return result


async def replay(redis: Redis, settings: Settings, names: Iterable[str], *, failed: bool) -> list[Result]:
    """Have the orders of unfinished images sent again; safe to repeat and while the workers run.

    Parameters
    ----------
    names : iterable of `str`
        Images; those at their end are left alone.
    failed : `bool`
        Whether failed ones are tried again as well.
    """
    messages = {instruction: str(name) for instruction, name in message_names(settings).items()}

    def decide(obsid: str, record: dict[str, str]) -> tuple[list[Write], Result]:
        if record.get("state") == ImageState.FAILED and failed:
            return _retried(obsid, record)
        return _replayed(obsid, record, settings, messages)

    results = [await _change(redis, name, decide) for name in names]
    await _notify_bridge(redis, results)
    return results


async def _change(
    redis: Redis, obsid: str, decide: Callable[[str, dict[str, str]], tuple[list[Write], Result]]
) -> Result:
    """Read a record and write what follows from it, all or none; once more if a worker wrote to it meanwhile."""
    name = keys.image(obsid)
    while True:
        async with asyncio.timeout(COMMAND_TIMEOUT), redis.pipeline(transaction=True) as pipe:
            await pipe.watch(name)
            writes, result = decide(obsid, await read_hash(pipe, name))
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py leaves it without types
            for words in writes:
                pipe.execute_command(*words)
            try:
                await pipe.execute()
            except WatchError:
                continue
            return result


def _retried(obsid: str, record: dict[str, str]) -> tuple[list[Write], Result]:
    if record.get("state") != ImageState.FAILED:
        state = record.get("state", "not in the ledger")
        return [], Result(image=obsid, done=False, text=f"is {state}; only a failed image can be tried again")
    name = keys.image(obsid)
    writes: list[Write] = [
        ("HDEL", name, "failed", "failed_code", "finished", "target_dir"),
        # its waiting begins anew
        (
            "HSET",
            name,
            "state",
            ImageState.ACCEPTED,
            ledger.RETRIED_AT,
            _now(),
            *_unsent_fields(record, *Instruction),
            *_waiting(),
        ),
        ("ZADD", keys.UNFINISHED, int(record["job"]), obsid),
        ("HINCRBY", keys.COUNTERS, "images_retried", 1),
    ]
    return writes, Result(image=obsid, done=True, text="goes the normal way again, from the Controller on")


def _replayed(
    obsid: str, record: dict[str, str], settings: Settings, messages: dict[Instruction, str]
) -> tuple[list[Write], Result]:
    why = _why_not(record, settings)
    if why:
        return [], Result(image=obsid, done=False, text=why)
    of_now = [
        instruction
        for instruction in Instruction
        if (instruction is Instruction.NEW_ITEM) is ("target_dir" not in record)
    ]
    instructions = [instruction for instruction in of_now if instruction in record]
    name = keys.image(obsid)
    writes: list[Write] = [("HSET", name, ledger.REPLAYED_AT, _now(), *_unsent_fields(record, *instructions))]
    again = ", ".join(messages[instruction] for instruction in instructions)
    return writes, Result(image=obsid, done=True, text=f"sent again: {again or 'what was never sent'}")


def _why_not(record: dict[str, str], settings: Settings) -> str:
    """Say why an image's orders are not to be sent again; empty if they are."""
    state = record.get("state", "")
    if state == ImageState.FAILED:
        return f"failed: {record.get('failed', '')}; ccarchiver image NAME --retry, or --replay --failed"
    if state not in (ImageState.ACCEPTED, ImageState.STALLED):
        return f"is {state or 'not in the ledger'}: nothing to send"
    if EventKind.START not in record or _is_answered(record) or _is_retrieved(record, settings):
        return f"waits for {ledger.waiting_on(record, settings.files_per_image)}: no message of the archiver helps"
    if time.time() - last_progress_at(record) < SENDS * settings.ack_timeout:
        return "is under way: left alone"
    return ""


def _is_answered(record: dict[str, str]) -> bool:
    """Tell whether an event of the image is still to come and all that could be said without it has been answered."""
    sent = [
        SentInstruction.model_validate_json(record[instruction]) for instruction in Instruction if instruction in record
    ]
    is_told = Instruction.XFER_PARAMS in record and all(one.acked for one in sent)
    return is_told and not {EventKind.END, EventKind.HEADER} <= record.keys()


def _is_retrieved(record: dict[str, str], settings: Settings) -> bool:
    return file_status_fields.count_good(record, StatusTopic.RETRIEVAL) >= settings.files_per_image


def _unsent_fields(record: dict[str, str], *instructions: Instruction) -> list[str]:
    """Give the fields and values by which recorded orders count as sent to nobody."""
    words: list[str] = []
    for instruction in instructions:
        if instruction in record:
            sent = SentInstruction.model_validate_json(record[instruction]).model_copy(update=NOBODY)
            words += [instruction, sent.model_dump_json(exclude_defaults=True)]
    return words


async def _notify_bridge(redis: Redis, results: list[Result]) -> None:
    """Tell the bridge, if anything was done; without a session it finds out by itself when there is one."""
    done = [result for result in results if result.done]
    if not done:
        return
    session = await read_session(redis)
    if session.is_active:
        message = SessionChanged(session_id=session.id).model_dump_json()
        await transact(redis, ("XADD", keys.Worker.BRIDGE.mailbox, "*", "message", message))
    else:
        for result in done:
            result.text += ", when the CSC is started"


def _waiting() -> list[str]:
    """Give the fields and values by which an image's waiting begins now."""
    began = clock.now().fields(ledger.WAITING)
    return [str(word) for word in itertools.chain.from_iterable(began.items())]


def _now() -> str:
    return f"{time.time():.3f}"
