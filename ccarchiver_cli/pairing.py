"""An operator's changes to the pairing: the next Forwarder, and a release of the paired one.

Only health writes the session. A release sends health the message with which the bridge reports a
lost Forwarder.
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
from ccarchiver_core.redis.replies import read_list, transact
from ccarchiver_core.status.candidate_list import read_candidates
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session

LOOK_INTERVAL_S = 0.2
"""Seconds between two reads of the session."""

MARGIN_S = 5.0
"""Seconds that a takeover may take after REASSIGN_GRACE.

A Forwarder writes its presence key within 3.5 s.
"""


class PairingRejectedError(CcArchiverError):
    """A command that is declined; the text contains the reason and what to do instead."""


async def release(redis: Redis) -> Session:
    """Instruct health to replace the paired Forwarder, and return the session before the release.

    A repeated call is harmless: health ignores a message about a pairing that has ended.

    Raises
    ------
    PairingRejectedError
        If no Forwarder is paired.
    """
    session = await read_session(redis)
    if not session.is_active:
        raise PairingRejectedError(
            "no session is active, so no Forwarder is paired; send start to the CSC"
        )
    if not session.is_paired or session.forwarder is None:
        raise PairingRejectedError(
            "no Forwarder is paired; health is already searching for one; see: ccarchiver pair show"
        )
    hostname = session.forwarder.hostname
    report = f"Forwarder {hostname} was released by an operator (ccarchiver pair release)"
    message = ReplaceForwarder(
        session_id=session.id,
        epoch=session.epoch,
        reason=ReplaceReason.RELEASED,
        code=ErrorCode.FORWARDER_GONE,
        report=report,
    )
    await transact(
        redis, ("XADD", keys.Worker.HEALTH.mailbox, "*", "message", message.model_dump_json())
    )
    return session


async def taken_over(redis: Redis, settings: Settings, before: Session) -> Session | None:
    """Wait until another Forwarder is paired, and return its session.

    Returns
    -------
    session : `Session` or None
        None if health does not pair another Forwarder before its search ends.
    """
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
    """Make a Forwarder the first that health tries in its next search.

    Health takes entries from the end of the list, so the Forwarder's entry is moved there.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        Connection to Redis.
    settings : `Settings`
        Settings of the site.
    name : `str`
        Hostname or queue of the Forwarder.

    Returns
    -------
    text : `str`
        What was done, for the operator.

    Raises
    ------
    PairingRejectedError
        If the Forwarder is not known or is already paired.
    """
    session = await read_session(redis)
    paired = session.forwarder
    if paired is not None and name in (paired.hostname, paired.consume_queue):
        raise PairingRejectedError(f"{name} is paired; to replace it: ccarchiver pair release")
    candidates = (await read_candidates(redis, settings)).candidates
    # A malformed entry has no queue.
    matching = [one for one in candidates if one.queue and name in (one.hostname, one.queue)]
    if not matching:
        raise PairingRejectedError(
            f"no Forwarder {name} is listed or known; see: ccarchiver pair show"
        )
    chosen = matching[0]
    entry = ForwarderEntry(
        hostname=chosen.hostname, ip_address=chosen.ip_address, consume_queue=chosen.queue
    )
    text = entry.model_dump_json()
    removed: list[tuple[str | bytes | int, ...]] = []
    for raw in await read_list(redis, keys.FORWARDER_LIST):
        try:
            if ForwarderEntry.model_validate_json(raw).consume_queue == chosen.queue:
                removed.append(("LREM", keys.FORWARDER_LIST, 0, raw))
        except ValueError:
            continue  # malformed: health moves it to the dead letters when it reads it
    await transact(redis, *removed, ("RPUSH", keys.FORWARDER_LIST, text))
    return f"health tries {chosen.hostname} (queue {chosen.queue}) first in its next search"
