"""The history of the CSC's summary state: one entry for each change, in a sorted set by time.

Only this module uses the form of the entries. The CSC adds one in the transaction that writes its
state. A restart or a repeated write can add an entry with the same state again; `intervals` joins
such entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from ccarchiver_core import keys
from ccarchiver_core.domain.record_types import Code, UnixTime
from ccarchiver_core.redis.replies import text, unless_wrong_type
from ccarchiver_core.store import unreadable
from ccarchiver_core.store.csc_state import FAULT, STATE_NAMES
from ccarchiver_core.store.field_parser import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction

MAX_ENTRIES = 2000
"""Entries that are kept, 300 kB: a night has about ten, and images are kept for some weeks."""

MAX_READ = 500
"""Newest entries of a period that are read."""

MAX_BEFORE = 10
"""Entries before a period that are read to find the state at its begin.

One is enough, unless a person has added entries that cannot be read.
"""


class StateChange(BaseModel):
    """One change of the summary state."""

    model_config = ConfigDict(frozen=True)

    at: UnixTime
    """Unix time, UTC, seconds."""
    state: str
    error_code: Code = 0


class StateInterval(BaseModel):
    """A period in one summary state. Times are Unix times, UTC, seconds."""

    state: str
    error_code: int
    begin: float
    end: float

    @property
    def is_fault(self) -> bool:
        """Whether the CSC was in FAULT."""
        return self.state == FAULT


def record(transaction: Transaction, change: StateChange) -> None:
    """Add a change to a transaction, and the removal of the oldest entries above the limit."""
    transaction.command("ZADD", keys.STATE_HISTORY, change.at, change.model_dump_json())
    transaction.command("ZREMRANGEBYRANK", keys.STATE_HISTORY, 0, -MAX_ENTRIES - 1)


async def read(redis: Redis, begin: float, end: float) -> list[StateChange]:
    """Return the last change before [begin, end) and the newest ones in it, oldest first."""
    within = redis.zrevrangebyscore(keys.STATE_HISTORY, f"({end}", begin, start=0, num=MAX_READ)
    found = _parse(await unless_wrong_type(within, list[bytes]()))
    before = redis.zrevrangebyscore(
        keys.STATE_HISTORY, f"({begin}", "-inf", start=0, num=MAX_BEFORE
    )
    earlier = _parse(await unless_wrong_type(before, list[bytes]()))
    return [*earlier[:1], *found[::-1]]


def intervals(changes: Sequence[StateChange], begin: float, end: float) -> list[StateInterval]:
    """Return the periods of [begin, end) whose state is known, oldest first.

    Parameters
    ----------
    changes : sequence
        The changes, oldest first; the first one may be before the period.
    begin, end : `float`
        Unix times, UTC, seconds.
    """
    found: list[StateInterval] = []
    ends = [*(following.at for following in changes[1:]), end]
    for change, change_end in zip(changes, ends, strict=False):
        since, until = max(begin, change.at), min(end, change_end)
        if until <= since:
            continue
        last = found[-1] if found else None
        if last and (last.state, last.error_code) == (change.state, change.error_code):
            last.end = until
            continue
        found.append(
            StateInterval(state=change.state, error_code=change.error_code, begin=since, end=until)
        )
    return found


def _parse(members: Iterable[bytes]) -> list[StateChange]:
    """Return the readable entries in their sequence."""
    found: list[StateChange] = []
    for member in members:
        value = text(member)
        try:
            change = StateChange.model_validate_json(value)
        except (ValidationError, ValueError, RecursionError) as error:
            unreadable.report(keys.STATE_HISTORY, value, reason_of(error))
            continue
        if change.state in STATE_NAMES.values():
            found.append(change)
        else:
            unreadable.report(keys.STATE_HISTORY, value, "not a summary state")
    return found
