"""Dead letters: messages that could not be processed, with reason, origin and raw bytes."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.worker_messages import Requeue
from ccarchiver_core.redis.replies import text, transact, unless_wrong_type

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.store.transaction import Transaction

REASON_LENGTH = 500
"""Characters of a reason that are kept.

They are enough to name the field, and too few for another copy of the message.
"""


def add(
    transaction: Transaction,
    settings: Settings,
    *,
    origin: str,
    reason: str,
    raw: bytes,
    obsid: str = "",
) -> None:
    """Add a dead letter to a transaction. The oldest one is deleted if there are too many.

    Parameters
    ----------
    transaction : `Transaction`
        Gets the writes. It also acks the message.
    settings : `Settings`
        Contains the limits.
    origin : `str`
        Queue or mailbox that the message came from.
    reason : `str`
        Why it could not be processed, for an operator.
    raw : `bytes`
        The message as received.
    obsid : `str`
        The image that it belongs to, if that is known.
    """
    if len(raw) > settings.dead_letter_max_bytes:
        kept = settings.dead_letter_max_bytes
        reason = f"{reason[: REASON_LENGTH // 2]} (only the first {kept} of its bytes are kept)"
        raw = raw[:kept]
    now = dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
    transaction.command(
        *("XADD", keys.DEAD_LETTERS, "MAXLEN", settings.max_dead_letters, "*"),
        *("at", now, "origin", origin, "reason", reason[:REASON_LENGTH]),
        *("obsid", obsid, "raw", raw),
    )
    transaction.count("dead_letters")


SAL_ORIGIN = "SAL "
"""Beginning of the origin of a dead letter that was a SAL event."""

SCAN_ORIGIN = "SCAN"
"""Origin of a dead letter with names from the answer to a scan."""

_MAILBOXES = frozenset(worker.mailbox for worker in keys.Worker)

ENTRY_ID = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
"""Form of a dead letter's id, with the lengths that Redis accepts."""


@dataclass(frozen=True)
class DeadLetter:
    """One stored dead letter; ``at`` is its time in ISO 8601, UTC."""

    id: str
    at: str
    origin: str
    reason: str
    obsid: str
    raw: bytes


def _parse(entry_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        id=text(entry_id),
        at=text(fields.get(b"at", b"")),
        origin=text(fields.get(b"origin", b"")),
        reason=text(fields.get(b"reason", b"")),
        obsid=text(fields.get(b"obsid", b"")),
        raw=fields.get(b"raw", b""),
    )


Entries = list[tuple[bytes, dict[bytes, bytes]]]

_NONE: Entries = []


async def newest(redis: Redis, count: int) -> list[DeadLetter]:
    """Return the newest dead letters, newest first."""
    entries = await unless_wrong_type(redis.xrevrange(keys.DEAD_LETTERS, count=count), _NONE)
    return [_parse(entry_id, fields) for entry_id, fields in entries]


async def find(redis: Redis, entry_id: str) -> DeadLetter | None:
    """Return the dead letter with an id; None if there is none."""
    if ENTRY_ID.fullmatch(entry_id) is None:
        return None
    reply = redis.xrange(keys.DEAD_LETTERS, min=entry_id, max=entry_id)
    entries = await unless_wrong_type(reply, _NONE)
    return _parse(*entries[0]) if entries else None


async def drop(redis: Redis, entry_id: str) -> bool:
    """Delete a dead letter and return whether it existed."""
    return bool(await unless_wrong_type(redis.xdel(keys.DEAD_LETTERS, entry_id), 0))


async def requeue(redis: Redis, dead_letter: DeadLetter) -> None:
    """Put the original bytes of a dead letter back where they came from, and delete it.

    Both happen in one transaction. A message that still cannot be processed becomes a new dead
    letter.

    Raises
    ------
    RejectedError
        If it is not a message. The text contains the remedy.
    """
    if dead_letter.origin == keys.UNFINISHED:
        command = f"ccarchiver image {dead_letter.obsid} --retry"
        raise RejectedError(f"an image, not a message; retry it with: {command}")
    if dead_letter.origin.startswith(SAL_ORIGIN):
        raise RejectedError("a SAL event cannot be requeued, the camera sends none again; drop it")
    if dead_letter.origin == SCAN_ORIGIN:
        raise RejectedError(
            "a sample of names, not a message; drop it, and correct what lists these names"
        )
    if dead_letter.origin.startswith(keys.PREFIX) and dead_letter.origin not in _MAILBOXES:
        raise RejectedError(
            "a record that could not be read, not a message; `ccarchiver deadletter show` prints "
            "its value. Write a corrected one with redis-cli, or drop it"
        )
    send: tuple[str | bytes | int, ...]
    if dead_letter.origin in _MAILBOXES:
        send = ("XADD", dead_letter.origin, "*", "message", dead_letter.raw)
    elif dead_letter.origin == keys.FORWARDER_LIST:
        send = ("RPUSH", keys.FORWARDER_LIST, dead_letter.raw)
    else:
        message = Requeue(queue=dead_letter.origin, raw=dead_letter.raw)
        send = ("XADD", keys.Worker.BRIDGE.mailbox, "*", "message", message.model_dump_json())
    count = ("HINCRBY", keys.COUNTERS, "dead_letters_requeued", 1)
    await transact(redis, send, ("XDEL", keys.DEAD_LETTERS, dead_letter.id), count)
