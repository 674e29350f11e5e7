"""What an operator may change of the pairing: who is asked next, and to look for somebody else now.

The session stays health's: it is told by the letter by which the bridge reports a lost Forwarder.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.worker_messages import ReplaceForwarder, ReplaceReason
from ccarchiver_core.redis.client import transact
from ccarchiver_core.status.candidate_list import read_candidates
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session

LOOK_INTERVAL_S = 0.2
"""Seconds between two looks at the session."""

MARGIN_S = 5.0
"""Seconds beyond REASSIGN_GRACE that a takeover may take: a Forwarder shows its key within 3.5 s."""


class RefusedError(CcArchiverError):
    """It is not done; the text says why, and what to do instead."""


async def release(redis: Redis) -> Session:
    """Tell health to give the paired Forwarder up and look for another; the value is the session before.

    Safe to repeat: health ignores a letter about a pairing that is over.

    Raises
    ------
    RefusedError
        If none is paired.
    """
    session = await read_session(redis)
    if not session.is_active:
        raise RefusedError("no session is wanted, so no Forwarder is paired: command the CSC to start first")
    if not session.is_paired or session.forwarder is None:
        raise RefusedError("no Forwarder is paired: health is looking for one already; see: ccarchiver pair show")
    report = f"Forwarder {session.forwarder.hostname} was released by an operator (ccarchiver pair release)"
    message = ReplaceForwarder(
        session_id=session.id,
        epoch=session.epoch,
        reason=ReplaceReason.RELEASED,
        code=ErrorCode.FORWARDER_GONE,
        report=report,
    )
    await transact(redis, ("XADD", keys.Worker.HEALTH.mailbox, "*", "message", message.model_dump_json()))
    return session


async def taken_over(redis: Redis, settings: Settings, before: Session) -> Session | None:
    """Wait until another Forwarder is paired; None if that takes longer than health looks for one."""
    deadline = time.monotonic() + settings.reassign_grace + MARGIN_S
    while time.monotonic() < deadline:
        session = await read_session(redis)
        if session.id != before.id or not session.is_active:
            return None
        if session.is_paired and session.epoch != before.epoch:
            return session
        await asyncio.sleep(LOOK_INTERVAL_S)
    return None


async def promote(redis: Redis, settings: Settings, name: str) -> str:
    """Move a Forwarder, by its hostname or queue, to the end of the list from which health takes; says what was done.

    Raises
    ------
    RefusedError
        If it is not known, or is the one that is paired.
    """
    session = await read_session(redis)
    paired = session.forwarder
    if paired is not None and name in (paired.hostname, paired.consume_queue):
        raise RefusedError(f"{name} is paired; to have another one take over: ccarchiver pair release")
    found = [one for one in (await read_candidates(redis, settings)).candidates if name in (one.hostname, one.queue)]
    if not found:
        raise RefusedError(f"no Forwarder {name} on the list or known from before; see: ccarchiver pair show")
    chosen = found[0]
    entry = ForwarderEntry(hostname=chosen.hostname, ip_address=chosen.ip_address, consume_queue=chosen.queue)
    text = entry.model_dump_json()
    removed: list[tuple[str | bytes | int, ...]] = []
    for raw in await redis.lrange(keys.FORWARDER_LIST, 0, -1):
        try:
            if ForwarderEntry.model_validate_json(raw).consume_queue == chosen.queue:
                removed.append(("LREM", keys.FORWARDER_LIST, 0, raw))
        except ValueError:
            continue  # malformed: health puts it down when it comes to it
    await transact(redis, *removed, ("RPUSH", keys.FORWARDER_LIST, text))
    return f"{chosen.hostname} (queue {chosen.queue}) is asked next when a Forwarder is looked for"
