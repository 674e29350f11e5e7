"""The changes of the CSC's summary state are kept, bounded, and read as intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import state_history
from ccarchiver_core.store.state_history import StateChange
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import saved_state
from ccarchiver_sal.adapter import State
from ccarchiver_sal.saved_state import SavedState
from tests.core.redis_helpers import holding, looking_into, site

if TYPE_CHECKING:
    import pytest

    from ccarchiver_sim.testbed.brokers import PrivateRedis

BEGIN, END = 1000.0, 2000.0


def change(at: float, state: str, error_code: int = 0) -> StateChange:
    return StateChange(at=at, state=state, error_code=error_code)


async def test_each_saved_state_is_added_to_the_history(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        for saved in (
            SavedState(State.ENABLED),
            SavedState(State.FAULT, ErrorCode.NO_RABBITMQ, "a test"),
            SavedState(State.STANDBY),
        ):
            transaction = Transaction()
            saved_state.write_state(transaction, saved)
            await context.transactions.apply(transaction)
        found = await state_history.read(redis, 0.0, 1e11)

    assert [(one.state, one.error_code) for one in found] == [
        ("ENABLED", 0),
        ("FAULT", 5071),
        ("STANDBY", 0),
    ]


async def test_history_keeps_the_newest_entries_and_reads_the_last_one_before_a_period(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_history, "MAX_ENTRIES", 3)
    settings = site(fresh_redis.port)
    transaction = Transaction()
    for at in (BEGIN - 20, BEGIN - 10, BEGIN + 10, END):
        state_history.record(transaction, change(at, "ENABLED"))
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(transaction)
        await redis.zadd(keys.STATE_HISTORY, {"sideways": BEGIN + 5})
        count = await redis.zcard(keys.STATE_HISTORY)
        found = await state_history.read(redis, BEGIN, END)

    assert count == 3 + len(["sideways"])
    assert [one.at for one in found] == [BEGIN - 10, BEGIN + 10]


def test_intervals_are_cut_to_the_period_and_repeated_states_are_joined() -> None:
    changes = [
        change(BEGIN - 50, "ENABLED"),
        change(BEGIN + 100, "ENABLED"),
        change(BEGIN + 200, "FAULT", 5751),
        change(BEGIN + 200, "FAULT", 5751),
        change(BEGIN + 300, "STANDBY"),
    ]

    found = state_history.intervals(changes, BEGIN, END)

    assert [(one.state, one.begin, one.end) for one in found] == [
        ("ENABLED", BEGIN, BEGIN + 200),
        ("FAULT", BEGIN + 200, BEGIN + 300),
        ("STANDBY", BEGIN + 300, END),
    ]
    assert [one.is_fault for one in found] == [False, True, False]


def test_nothing_is_known_before_the_first_change() -> None:
    assert state_history.intervals([], BEGIN, END) == []
    found = state_history.intervals([change(BEGIN + 5, "ENABLED")], BEGIN, END)
    assert [(one.begin, one.end) for one in found] == [(BEGIN + 5, END)]
