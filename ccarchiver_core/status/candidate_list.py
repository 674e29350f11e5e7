"""Whom health would ask next: the Forwarders' list and those known from before, in the order health asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ValidationError

from ccarchiver_core import keys
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.redis.client import read_hash, text
from ccarchiver_core.store import association_attempts
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.store.association_attempts import AssociationAttempt


class Candidate(BaseModel):
    """One entry; times are Unix seconds in UTC."""

    hostname: str
    ip_address: str
    queue: str
    listed: bool
    """On the list, where health looks first; otherwise it is known from before."""
    is_skipped: bool = False
    """Health will pass it over without asking."""
    stale: str = ""
    """Why nobody may be behind it; empty if nothing speaks against it."""
    attempted_at: float | None = None
    accepted: bool | None = None
    """What came of the last question to it; None if it was never asked."""


class CandidateList(BaseModel):
    """The candidates, first the one that is asked first."""

    candidates: list[Candidate]

    @property
    def next(self) -> Candidate | None:
        """Who would be asked first; None if there is nobody."""
        return next((one for one in self.candidates if not one.is_skipped), None)

    @property
    def likely(self) -> Candidate | None:
        """Who would be asked first of those that nothing speaks against; None if there is nobody."""
        return next((one for one in self.candidates if not one.is_skipped and not one.stale), None)


async def read_candidates(redis: Redis, settings: Settings) -> CandidateList:
    """Read whom health would ask, in its order: what it has in hand, the list from its right end, those known."""
    session = await read_session(redis)
    in_hand = cast("list[bytes]", await redis.lrange(keys.PAIRING_CANDIDATE, 0, -1))
    listed = cast("list[bytes]", await redis.lrange(keys.FORWARDER_LIST, 0, -1))
    known = await read_hash(redis, keys.KNOWN_FORWARDERS)
    came = await association_attempts.read(redis)
    found: list[Candidate] = []
    newer = {entry.consume_queue: at for at, raw in enumerate(reversed(listed)) if (entry := _entry(raw))}
    for at, raw in enumerate([*in_hand, *reversed(listed)]):
        entry = _entry(raw)
        if entry is None or entry.consume_queue in settings.queues:
            shown = text(raw)
            found.append(
                Candidate(hostname=shown, ip_address="", queue="", listed=True, is_skipped=True, stale="malformed")
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
    return CandidateList(candidates=found)


def _entry(raw: bytes | str) -> ForwarderEntry | None:
    try:
        return ForwarderEntry.model_validate_json(raw)
    except ValidationError:
        return None


def _candidate(
    entry: ForwarderEntry, session: Session, attempt: AssociationAttempt | None, *, listed: bool
) -> Candidate:
    candidate = Candidate(
        hostname=entry.hostname, ip_address=entry.ip_address, queue=entry.consume_queue, listed=listed
    )
    if attempt is not None:
        candidate.attempted_at, candidate.accepted = attempt.attempted_at, attempt.accepted
        if not attempt.accepted:
            candidate.stale = attempt.detail or "did not take the pairing"
    if session.forwarder is not None and session.forwarder.consume_queue == entry.consume_queue:
        candidate.is_skipped, candidate.stale = True, ""
    if session.loss is not None and session.loss.exclude_from_search and session.loss.queue == entry.consume_queue:
        candidate.is_skipped, candidate.stale = True, session.loss.report
    return candidate
