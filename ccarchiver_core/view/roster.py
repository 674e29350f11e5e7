"""Whom health would ask next: the Forwarders' list and those known from before, in the order health asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ValidationError

from ccarchiver_core import asked, keys
from ccarchiver_core.mail import ForwarderEntry
from ccarchiver_core.redis_client import read_hash, text
from ccarchiver_core.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.asked import Asked
    from ccarchiver_core.session import Session
    from ccarchiver_core.settings import Settings


class Candidate(BaseModel):
    """One entry; times are Unix seconds in UTC."""

    hostname: str
    ip_address: str
    queue: str
    listed: bool
    """On the list, where health looks first; otherwise it is known from before."""
    passed: bool = False
    """Health will pass it over without asking."""
    stale: str = ""
    """Why nobody may be behind it; empty if nothing speaks against it."""
    asked_at: float | None = None
    took_pairing: bool | None = None
    """What came of the last question to it; None if it was never asked."""


class Roster(BaseModel):
    """The candidates, first the one that is asked first."""

    candidates: list[Candidate]

    @property
    def next(self) -> Candidate | None:
        """Who would be asked first; None if there is nobody."""
        return next((one for one in self.candidates if not one.passed), None)

    @property
    def likely(self) -> Candidate | None:
        """Who would be asked first of those that nothing speaks against; None if there is nobody."""
        return next((one for one in self.candidates if not one.passed and not one.stale), None)


async def read_roster(redis: Redis, settings: Settings) -> Roster:
    """Read whom health would ask, in its order: what it has in hand, the list from its right end, those known."""
    session = await read_session(redis)
    in_hand = cast("list[bytes]", await redis.lrange(keys.CANDIDATE, 0, -1))
    listed = cast("list[bytes]", await redis.lrange(keys.FORWARDER_LIST, 0, -1))
    known = await read_hash(redis, keys.KNOWN)
    came = await asked.read(redis)
    found: list[Candidate] = []
    newer = {entry.consume_queue: at for at, raw in enumerate(reversed(listed)) if (entry := _entry(raw))}
    for at, raw in enumerate([*in_hand, *reversed(listed)]):
        entry = _entry(raw)
        if entry is None or entry.consume_queue in settings.queues:
            shown = text(raw)
            found.append(
                Candidate(hostname=shown, ip_address="", queue="", listed=True, passed=True, stale="malformed")
            )
            continue
        candidate = _candidate(entry, session, came.get(entry.consume_queue), listed=True)
        if at >= len(in_hand) and newer[entry.consume_queue] > at - len(in_hand):
            candidate.stale = "listed again later"
        found.append(candidate)
    queues = {candidate.queue for candidate in found}
    for queue, value in known.items():
        entry = _entry(value)
        if entry is not None and queue not in queues:
            found.append(_candidate(entry, session, came.get(queue), listed=False))
    return Roster(candidates=found)


def _entry(raw: bytes | str) -> ForwarderEntry | None:
    try:
        return ForwarderEntry.model_validate_json(raw)
    except ValidationError:
        return None


def _candidate(entry: ForwarderEntry, session: Session, came_of_it: Asked | None, *, listed: bool) -> Candidate:
    candidate = Candidate(
        hostname=entry.hostname, ip_address=entry.ip_address, queue=entry.consume_queue, listed=listed
    )
    if came_of_it is not None:
        candidate.asked_at, candidate.took_pairing = came_of_it.at, came_of_it.took_pairing
        if not came_of_it.took_pairing:
            candidate.stale = came_of_it.detail or "did not take the pairing"
    if session.forwarder is not None and session.forwarder.consume_queue == entry.consume_queue:
        candidate.passed, candidate.stale = True, ""
    if session.loss is not None and session.loss.mute and session.loss.queue == entry.consume_queue:
        candidate.passed, candidate.stale = True, session.loss.report
    return candidate
