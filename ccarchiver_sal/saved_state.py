"""The CSC's state in Redis, with which a CSC that restarts within the resume window continues."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import ResponseError

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.redis.replies import is_wrong_type, read_hash
from ccarchiver_core.store import state_history
from ccarchiver_core.store.field_parser import MAX_SHOWN, FieldParser, parse_count
from ccarchiver_core.store.session import read_session
from ccarchiver_core.store.set_aside import set_aside
from ccarchiver_core.store.state_history import StateChange
from ccarchiver_sal.adapter import State

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction

ALIVE = "alive_"
"""Prefix of the fields that hold the time at which the CSC was last alive."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SavedState:
    """State to resume: the summary state, and in FAULT its error code and report."""

    state: State
    error_code: int = 0
    error_report: str = ""


async def read_saved(redis: Redis, window: float) -> SavedState | None:
    """Return the state to resume; None if the CSC must start in STANDBY.

    Parameters
    ----------
    window : `float`
        Seconds for which a state may be resumed after the CSC was last alive. A clock jump in
        between has no effect, unless the machine was also booted: then a clock that was set back
        counts as no time at all.
    """
    fields = await read_hash(redis, keys.CSC)
    if "state" not in fields:
        return None
    parser = FieldParser(keys.CSC, fields)
    state = parser.read("state", _parse_state)
    if state is None:
        _log.error(
            "csc.not_resumed",
            effect="the CSC starts in STANDBY",
            reason=f"its saved state {fields['state'][:MAX_SHOWN]!r} cannot be read",
        )
        return None
    if state not in (State.DISABLED, State.ENABLED, State.FAULT):
        return None
    down_s = clock.seconds_since(fields, ALIVE)
    if down_s > window:
        _log.info("csc.not_resumed", state=state.name, down_s=round(down_s), window_s=window)
        return None
    if state is not State.FAULT and not (await read_session(redis)).is_active:
        _log.info("csc.not_resumed", state=state.name, reason="its session has been ended")
        return None
    return SavedState(state, parser.integer("error_code"), fields.get("error_report", ""))


def _parse_state(text: str) -> State:
    return State(parse_count(text))


async def is_ended(redis: Redis) -> bool:
    """Return whether exitControl has ended the last CSC."""
    return (await read_hash(redis, keys.CSC)).get("state") == str(int(State.OFFLINE))


def write_state(transaction: Transaction, saved: SavedState) -> None:
    """Add the state and its entry in the history to a transaction.

    `read_saved` never resumes OFFLINE.
    """
    present = clock.now()
    transaction.set_fields(
        keys.CSC,
        {
            "state": int(saved.state),
            "error_code": saved.error_code,
            "error_report": saved.error_report,
            **present.fields(ALIVE),
        },
    )
    change = StateChange(at=present.wall, state=saved.state.name, error_code=saved.error_code)
    state_history.record(transaction, change)


async def write_alive(redis: Redis) -> None:
    """Write the time at which the CSC was last alive."""
    items = list(itertools.chain.from_iterable(clock.now().fields(ALIVE).items()))
    try:
        await redis.hset(keys.CSC, items=items)
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        await set_aside(redis, keys.CSC)  # a person has changed it
        await redis.hset(keys.CSC, items=items)
