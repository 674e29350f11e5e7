"""An operator's actions on images: retry a failed one, or replay the instructions of open ones.

Nothing is sent from here. An instruction in the ledger is marked as not sent, and the bridge then
sends what is due: the same ACK_IDs in the same sequence. The earlier instruction is kept as
superseded.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel
from redis.exceptions import WatchError

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import EventKind, Instruction
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.domain.instruction_limits import MAX_SENDS
from ccarchiver_core.domain.message_names import message_names
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.redis.replies import transact
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.session import read_session
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_record import ImageRecord

Decision = tuple[Transaction, "Result"]


class Result(BaseModel):
    """Result of a retry or replay of one image: what was done, or why nothing was done."""

    image: str
    done: bool
    text: str


async def retry(redis: Redis, obsid: str) -> Result:
    """Start a failed image again from the Controller.

    This is safe to repeat, and safe while the workers run.
    """
    result = await _change(redis, obsid, _retry)
    await _notify_bridge(redis, [result])
    return result


async def replay(
    redis: Redis, settings: Settings, names: Iterable[str], *, failed: bool
) -> list[Result]:
    """Mark the instructions of open images as not sent.

    This is safe to repeat, and safe while the workers run.

    Parameters
    ----------
    redis, settings
        The archiver's database and the site's settings.
    names : iterable of `str`
        The images. Those that are not open are not changed.
    failed : `bool`
        Whether failed images are retried as well.
    """

    def decide(obsid: str, record: ImageRecord | None) -> Decision:
        if record is not None and record.state is ImageState.FAILED and failed:
            return _retry(obsid, record)
        return _replay(obsid, record, settings)

    results = [await _change(redis, name, decide) for name in names]
    await _notify_bridge(redis, results)
    return results


async def _change(
    redis: Redis, obsid: str, decide: Callable[[str, ImageRecord | None], Decision]
) -> Result:
    """Read a record, decide, and apply the decision in one transaction.

    If a worker changes the record meanwhile, nothing is written and the record is read again.
    """
    ledger = ImageLedger(redis)
    while True:
        async with asyncio.timeout(COMMAND_TIMEOUT), redis.pipeline(transaction=True) as pipe:
            transaction, result = decide(obsid, await ledger.watch(pipe, obsid))
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py leaves it without types
            for words in transaction.commands:
                pipe.execute_command(*words)
            try:
                await pipe.execute()
            except WatchError:
                continue
            return result


def _retry(obsid: str, record: ImageRecord | None) -> Decision:
    if record is None or record.state is not ImageState.FAILED:
        state = "not in the ledger" if record is None else record.state
        text = f"is {state}; only a failed image can be retried"
        return Transaction(), Result(image=obsid, done=False, text=text)
    transaction = Transaction()
    ImageLedger.retry(transaction, record)
    return transaction, Result(image=obsid, done=True, text="starts again from the Controller")


def _replay(obsid: str, record: ImageRecord | None, settings: Settings) -> Decision:
    reason = _why_not(record, settings)
    if record is None or reason:
        return Transaction(), Result(image=obsid, done=False, text=reason)
    has_target = bool(record.target_dir)
    due = [
        instruction
        for instruction in record.instructions
        if (instruction is Instruction.NEW_ITEM) is not has_target
    ]
    transaction = Transaction()
    ImageLedger.replay(transaction, record, due)
    names = message_names(settings)
    again = ", ".join(names[instruction] for instruction in due)
    text = f"sent again: {again}" if again else "instructions that were never sent are sent"
    return transaction, Result(image=obsid, done=True, text=text)


def _why_not(record: ImageRecord | None, settings: Settings) -> str:
    """Return why an image's instructions must not be sent again; empty if they may."""
    if record is None:
        return "is not in the ledger: nothing to send"
    if record.state is ImageState.FAILED:
        reason = record.failure_reason
        return f"failed: {reason}; ccarchiver image {record.obsid} --retry"
    if not record.is_open:
        return f"is {record.state}: nothing to send"
    files = settings.files_per_image
    if EventKind.START not in record.events or _is_answered(record) or record.is_retrieved(files):
        return f"waits for {record.waiting_on(files)}: nothing to send again"
    if time.time() - record.last_progress_at < MAX_SENDS * settings.ack_timeout:
        return "is in progress: not changed"
    return ""


def _is_answered(record: ImageRecord) -> bool:
    """Return whether the image only waits for an event.

    That is: an event is missing, and every instruction that was sent is acknowledged.
    """
    instructions = record.instructions
    is_answered = Instruction.XFER_PARAMS in instructions and all(
        sent.acked for sent in instructions.values()
    )
    return is_answered and not {EventKind.END, EventKind.HEADER} <= record.events.keys()


async def _notify_bridge(redis: Redis, results: list[Result]) -> None:
    """Notify the bridge of the changes.

    Without a session the bridge reads the ledger when the next session starts.
    """
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
