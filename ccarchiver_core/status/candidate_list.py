"""The Forwarders that health can try next, in the sequence in which it tries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ValidationError

from ccarchiver_core import keys
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.redis.replies import read_hash, text
from ccarchiver_core.store import association_attempts
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.store.association_attempts import AssociationAttempt


class Candidate(BaseModel):
    """One Forwarder that health can try; times are Unix seconds in UTC."""

    hostname: str
    ip_address: str
    queue: str
    listed: bool
    """Whether it is in `forwarder_list`, which health tries first.

    Otherwise it is only in `keys.KNOWN_FORWARDERS`.
    """
    is_skipped: bool = False
    """Whether health skips it without an attempt."""
    stale: str = ""
    """Why this Forwarder may no longer exist, or why it is skipped; empty if there is no reason."""
    attempted_at: float | None = None
    accepted: bool | None = None
    """Whether it accepted the last attempt; None if there was no attempt."""


class CandidateList(BaseModel):
    """The candidates in the sequence in which health tries them."""

    candidates: list[Candidate]

    @property
    def next(self) -> Candidate | None:
        """The first candidate that is not skipped; None if there is none."""
        return next((entry for entry in self.candidates if not entry.is_skipped), None)

    @property
    def likely(self) -> Candidate | None:
        """The first candidate that is neither skipped nor stale; None if there is none."""
        fresh = (entry for entry in self.candidates if not entry.is_skipped and not entry.stale)
        return next(fresh, None)


async def read_candidates(redis: Redis, settings: Settings) -> CandidateList:
    """Return the candidates in the sequence in which health tries them.

    First the one that health is trying now, then `forwarder_list` from its right end, then the
    other known Forwarders.
    """
    session = await read_session(redis)
    current = cast("list[bytes]", await redis.lrange(keys.PAIRING_CANDIDATE, 0, -1))
    listed = cast("list[bytes]", await redis.lrange(keys.FORWARDER_LIST, 0, -1))
    known = await read_hash(redis, keys.KNOWN_FORWARDERS)
    attempts = await association_attempts.read(redis)
    found: list[Candidate] = []
    last_index = {
        entry.consume_queue: index
        for index, raw in enumerate(reversed(listed))
        if (entry := _entry(raw))
    }
    for index, raw in enumerate([*current, *reversed(listed)]):
        entry = _entry(raw)
        if entry is None or entry.consume_queue in settings.queues:
            shown = text(raw)
            found.append(
                Candidate(
                    hostname=shown,
                    ip_address="",
                    queue="",
                    listed=True,
                    is_skipped=True,
                    stale="malformed",
                )
            )
            continue
        candidate = _candidate(entry, session, attempts.get(entry.consume_queue), listed=True)
        list_index = index - len(current)
        if list_index >= 0 and last_index[entry.consume_queue] > list_index:
            candidate.stale = "listed again later"
        found.append(candidate)
    queues = {candidate.queue for candidate in found}
    for queue, value in known.items():
        entry = _entry(value)
        if entry is not None and queue not in queues:
            found.append(_candidate(entry, session, attempts.get(queue), listed=False))
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
        hostname=entry.hostname,
        ip_address=entry.ip_address,
        queue=entry.consume_queue,
        listed=listed,
    )
    if attempt is not None:
        candidate.attempted_at, candidate.accepted = attempt.attempted_at, attempt.accepted
        if not attempt.accepted:
            candidate.stale = attempt.detail or "did not accept the pairing"
    if session.forwarder is not None and session.forwarder.consume_queue == entry.consume_queue:
        candidate.is_skipped, candidate.stale = True, ""
    loss = session.loss
    if loss is not None and loss.exclude_from_search and loss.queue == entry.consume_queue:
        candidate.is_skipped, candidate.stale = True, loss.report
    return candidate
