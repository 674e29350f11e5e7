"""Dead letters: what could not be handled is kept with its reason, its origin and the raw bytes."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ccarchiver_core import keys
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.worker_messages import Requeue
from ccarchiver_core.redis.client import text, transact

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.store.transaction import Transaction

REASON_LENGTH = 500
"""Characters of a reason that are kept: enough to name the field, not enough to hold the message again."""


def add(transaction: Transaction, settings: Settings, *, origin: str, reason: str, raw: bytes, obsid: str = "") -> None:
    """Put a dead letter down within a step; the oldest one goes when there are too many.

    Parameters
    ----------
    step : `Step`
        The step that also settles the message.
    settings : `Settings`
        Has the bound.
    origin : `str`
        Queue or mailbox it came from.
    reason : `str`
        Why it could not be handled, for a person.
    raw : `bytes`
        The message as it came.
    obsid : `str`
        The image it belongs to, if that is known.
    """
    if len(raw) > settings.dead_letter_max_bytes:
        kept = settings.dead_letter_max_bytes
        reason, raw = f"{reason[: REASON_LENGTH // 2]} (only the first {kept} of its bytes are kept)", raw[:kept]
    now = dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
    transaction.command(
        *("XADD", keys.DEAD_LETTERS, "MAXLEN", settings.max_dead_letters, "*"),
        *("at", now, "origin", origin, "reason", reason[:REASON_LENGTH], "obsid", obsid, "raw", raw),
    )
    transaction.count("dead_letters")


SAL_ORIGIN = "SAL "
"""How the origin of a dead letter begins that was a SAL event."""

_ID = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)  # as long as Redis takes them


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter as it is kept; ``at`` in ISO 8601, UTC."""

    id: str
    at: str
    origin: str
    reason: str
    obsid: str
    raw: bytes


def _letter(entry_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        id=text(entry_id),
        at=text(fields[b"at"]),
        origin=text(fields[b"origin"]),
        reason=text(fields[b"reason"]),
        obsid=text(fields[b"obsid"]),
        raw=fields[b"raw"],
    )


Entries = list[tuple[bytes, dict[bytes, bytes]]]


async def newest(redis: Redis, count: int) -> list[DeadLetter]:
    """Read the newest dead letters, newest first."""
    entries = cast("Entries", await redis.xrevrange(keys.DEAD_LETTERS, count=count))
    return [_letter(entry_id, fields) for entry_id, fields in entries]


async def find(redis: Redis, letter_id: str) -> DeadLetter | None:
    """Read one dead letter by its id; None if there is none."""
    if _ID.fullmatch(letter_id) is None:
        return None
    entries = cast("Entries", await redis.xrange(keys.DEAD_LETTERS, min=letter_id, max=letter_id))
    return _letter(*entries[0]) if entries else None


async def drop(redis: Redis, letter_id: str) -> bool:
    """Remove a dead letter; False if it was not there."""
    return bool(await redis.xdel(keys.DEAD_LETTERS, letter_id))


async def requeue(redis: Redis, dead_letter: DeadLetter) -> None:
    """Send a dead letter's original bytes the normal way again, and remove it, in one transaction.

    What still cannot be handled comes back as a new dead letter.

    Raises
    ------
    RejectedError
        If it is not a message; the text says what to do instead.
    """
    if dead_letter.origin == keys.UNFINISHED:
        raise RejectedError(f"an image, not a message; try it again with: ccarchiver image {dead_letter.obsid} --retry")
    if dead_letter.origin.startswith(SAL_ORIGIN):
        raise RejectedError("an event from SAL, which cannot be handled without an image name; drop it")
    send: tuple[str | bytes | int, ...]
    if dead_letter.origin in {worker.mailbox for worker in keys.Worker}:
        send = ("XADD", dead_letter.origin, "*", "message", dead_letter.raw)
    elif dead_letter.origin == keys.FORWARDER_LIST:
        send = ("RPUSH", keys.FORWARDER_LIST, dead_letter.raw)
    else:
        message = Requeue(queue=dead_letter.origin, raw=dead_letter.raw)
        send = ("XADD", keys.Worker.BRIDGE.mailbox, "*", "message", message.model_dump_json())
    count = ("HINCRBY", keys.COUNTERS, "dead_letters_requeued", 1)
    await transact(redis, send, ("XDEL", keys.DEAD_LETTERS, dead_letter.id), count)
