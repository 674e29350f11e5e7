"""The CSC's state in Redis, so that a restart within the resume window goes on where it stopped."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.redis.client import read_hash
from ccarchiver_core.store.session import read_session
from ccarchiver_sal.adapter import State

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction

ALIVE = "alive_"
"""How the fields of the last sign of life begin."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SavedState:
    """What to take up: the summary state, and the fault if it was one."""

    state: State
    error_code: int = 0
    error_report: str = ""


async def read_saved(redis: Redis, window: float) -> SavedState | None:
    """Read the state to take up; None if the CSC is to start in STANDBY.

    Parameters
    ----------
    window : `float`
        Seconds for which a state may be taken up after the last sign of life. Whether the machine's clock was set
        meanwhile does not matter, unless it was booted as well; then one that was set back counts as no time at all.
    """
    fields = await read_hash(redis, keys.CSC)
    if "state" not in fields:
        return None
    state = State(int(fields["state"]))
    if state not in (State.DISABLED, State.ENABLED, State.FAULT):
        return None
    away_s = clock.seconds_since(fields, ALIVE)
    if away_s > window:
        _log.info("csc.not_resumed", state=state.name, away_s=round(away_s), window_s=window)
        return None
    if state is not State.FAULT and not (await read_session(redis)).is_active:
        _log.info("csc.not_resumed", state=state.name, reason="its session has been ended")
        return None
    return SavedState(state, int(fields.get("error_code", "0")), fields.get("error_report", ""))


async def is_ended(redis: Redis) -> bool:
    """Tell whether the last CSC was ended by exitControl."""
    return (await read_hash(redis, keys.CSC)).get("state") == str(int(State.OFFLINE))


def write_state(transaction: Transaction, saved: SavedState) -> None:
    """Write the state within a step; OFFLINE is what `read_saved` never takes up."""
    transaction.set_fields(
        keys.CSC,
        {
            "state": int(saved.state),
            "error_code": saved.error_code,
            "error_report": saved.error_report,
            **clock.now().fields(ALIVE),
        },
    )


async def write_alive(redis: Redis) -> None:
    """Write a sign of life."""
    await redis.hset(keys.CSC, items=list(itertools.chain.from_iterable(clock.now().fields(ALIVE).items())))
