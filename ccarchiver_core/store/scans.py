"""The last scan of the camera's images: one hash, and a list of names that the Forwarder pushes.

A scan asks the paired Forwarder which images the camera's data acquisition has. Health requests it,
the bridge sends it, and health uses the names. The bridge writes ``state`` and ``sent_at`` when it
has sent the message; health writes all other fields.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ccarchiver_core import keys
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store.field_parser import FieldParser, parse_count

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction, Value


class ScanState(enum.StrEnum):
    """The state of a scan."""

    NONE = "none"
    REQUESTED = "requested"
    """The bridge has not sent it yet."""
    SENT = "sent"
    NOT_SENT = "not_sent"
    """The bridge could not send it; health requests another one."""
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    """No answer within SCAN_TIMEOUT."""


OUTSTANDING = frozenset({ScanState.REQUESTED, ScanState.SENT})
"""States in which an answer is expected."""


class Scan(BaseModel):
    """The last scan. Times are Unix times, UTC, seconds, or 0; counts are those of its answer."""

    model_config = ConfigDict(frozen=True)

    number: int = 0
    """Number of the scan; 0 if there was none."""
    state: ScanState = ScanState.NONE
    hostname: str = ""
    queue: str = ""
    requested_at: float = 0.0
    sent_at: float = 0.0
    postponed_since: float = 0.0
    """Time since which the next scan is due, if exposures have prevented it for long."""
    finished_at: float = 0.0
    """Time of the answer, or the time at which health stopped waiting for it."""
    answered_at: float = 0.0
    """Time of the last answer to any scan."""
    names: int = 0
    """Names in the last answer."""
    missed: int = 0
    """Images that the last answer has added to the missed ones."""
    of_other_cameras: int = 0
    rejected: int = 0
    """Names of no possible form."""
    unread: int = 0
    """Names above the limit of one answer."""
    rejected_digest: str = ""
    """Digest of the rejected names that are in the dead letters."""

    @property
    def is_outstanding(self) -> bool:
        """Whether an answer is expected."""
        return self.state in OUTSTANDING

    @property
    def is_answered(self) -> bool:
        """Whether the answer has arrived."""
        return self.state is ScanState.ANSWERED


async def read_scan(redis: Redis) -> Scan:
    """Return the last scan; one with the number 0 if there was none.

    Fields that cannot be read have their defaults. Health removes them from Redis; until then
    `write` changes no scan whose number or state is one of them.
    """
    fields = await read_hash(redis, keys.SCAN)
    parser = FieldParser(keys.SCAN, fields)
    return Scan(
        number=parser.read("number", _parse_number) or 0,
        state=parser.read("state", _parse_state) or ScanState.NONE,
        hostname=fields.get("hostname", ""),
        queue=fields.get("queue", ""),
        requested_at=parser.time("requested_at"),
        sent_at=parser.time("sent_at"),
        postponed_since=parser.time("postponed_since"),
        finished_at=parser.time("finished_at"),
        answered_at=parser.time("answered_at"),
        names=parser.integer("names"),
        missed=parser.integer("missed"),
        of_other_cameras=parser.integer("of_other_cameras"),
        rejected=parser.integer("rejected"),
        unread=parser.integer("unread"),
        rejected_digest=fields.get("rejected_digest", ""),
    )


def _parse_number(text: str) -> int:
    """Return the number of a scan, which `require_unchanged` compares as text."""
    number = parse_count(text)
    if number < 1 or str(number) != text:
        raise ValueError(f"not the number of a scan: {text!r}")
    return number


def _parse_state(text: str) -> ScanState:
    state = ScanState(text)
    if state is ScanState.NONE:
        raise ValueError("a state that is never written")
    return state


def write(transaction: Transaction, scan: Scan, **changes: Value) -> None:
    """Change the record of a scan. The precondition is that it is the last one and unchanged."""
    require_unchanged(transaction, scan)
    transaction.set_fields(keys.SCAN, changes)


def require_unchanged(transaction: Transaction, scan: Scan) -> None:
    """Add the precondition that a scan is the last one, and that its state has not changed."""
    is_known = scan.state is not ScanState.NONE
    transaction.require(keys.SCAN, "number", scan.number or None)
    transaction.require(keys.SCAN, "state", scan.state if is_known else None)
