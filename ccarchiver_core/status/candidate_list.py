"""The Forwarders that health can try next, in the sequence in which it tries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.forwarder import MAX_SHOWN, ForwarderEntry, parse_list_entry
from ccarchiver_core.redis.replies import read_list, text
from ccarchiver_core.store import association_attempts, known_forwarders
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.store.association_attempts import AssociationAttempt


MAX_MALFORMED = 3
"""Malformed entries that are shown. There can be any number, and all say the same."""


class CandidateStatus(BaseModel):
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

    candidates: list[CandidateStatus]
    """Among them are at most `MAX_MALFORMED` malformed entries of the list."""
    malformed: int = 0
    """Number of malformed entries in the list."""

    @property
    def next(self) -> CandidateStatus | None:
        """The first candidate that is not skipped; None if there is none."""
        return next((entry for entry in self.candidates if not entry.is_skipped), None)

    @property
    def likely(self) -> CandidateStatus | None:
        """The first candidate that is neither skipped nor stale; None if there is none."""
        fresh = (entry for entry in self.candidates if not entry.is_skipped and not entry.stale)
        return next(fresh, None)


async def read_candidates(redis: Redis, settings: Settings) -> CandidateList:
    """Return the candidates in the sequence in which health tries them.

    First the one that health is trying now, then `forwarder_list` from its right end, then the
    other known Forwarders.
    """
    session = await read_session(redis)
    current = await read_list(redis, keys.PAIRING_CANDIDATE)
    listed = await read_list(redis, keys.FORWARDER_LIST)
    known = await known_forwarders.read(redis)
    attempts = await association_attempts.read(redis)
    found: list[CandidateStatus] = []
    malformed = 0
    entries = [_parse(raw, settings) for raw in [*current, *reversed(listed)]]
    last_index = {
        entry.consume_queue: index
        for index, entry in enumerate(entries[len(current) :])
        if isinstance(entry, ForwarderEntry)
    }
    for index, entry in enumerate(entries):
        if isinstance(entry, CandidateStatus):
            malformed += 1
            if malformed <= MAX_MALFORMED:
                found.append(entry)
            continue
        candidate = _candidate(entry, session, attempts.get(entry.consume_queue), listed=True)
        list_index = index - len(current)
        if list_index >= 0 and last_index[entry.consume_queue] > list_index:
            candidate.stale = "listed again later"
        found.append(candidate)
    queues = {candidate.queue for candidate in found}
    for queue, entry in known.items():
        if queue not in queues:
            found.append(_candidate(entry, session, attempts.get(queue), listed=False))
    return CandidateList(candidates=found, malformed=malformed)


def _parse(raw: bytes, settings: Settings) -> ForwarderEntry | CandidateStatus:
    try:
        return parse_list_entry(raw, settings.queues)
    except RejectedError as error:
        return CandidateStatus(
            hostname=text(raw[:MAX_SHOWN]),
            ip_address="",
            queue="",
            listed=True,
            is_skipped=True,
            stale=str(error),
        )


def _candidate(
    entry: ForwarderEntry, session: Session, attempt: AssociationAttempt | None, *, listed: bool
) -> CandidateStatus:
    candidate = CandidateStatus(
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
