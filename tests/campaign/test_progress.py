"""An image counts as lost only when nothing moves any more."""

from __future__ import annotations

import pytest

from ccarchiver_sim.faults.progress import ENDLESS_LIMIT_S, IDLE_LIMIT_S, STUCK_LIMIT_S, Progress, Stillness
from ccarchiver_sim.pace import LONGEST_STEP_S, REFERENCE_PROBE_S, Deadline, Pace


class Clock:
    """A monotonic clock that advances by one step at each look, on a free machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def deadline(self, limit_s: float) -> Deadline:
        return Deadline(limit_s, Pace(lambda: 0, lambda: REFERENCE_PROBE_S))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def looks_until_still(clock: Clock, states: dict[int, str], *, is_pending: bool, at_most: int = 10_000) -> int | None:
    """Return the number of looks until it is decided that nothing moves; the state changes at some of them."""
    stillness = Stillness(clock.deadline)
    state = "first"
    for look in range(at_most):
        state = states.get(look, state)
        if stillness.is_reached(Progress(is_pending=is_pending, state=state)):
            return look
        clock.now += LONGEST_STEP_S
    return None


def test_nothing_pending_and_nothing_moving_is_decided_soon(clock: Clock) -> None:
    assert looks_until_still(clock, {}, is_pending=False) == IDLE_LIMIT_S / LONGEST_STEP_S


def test_something_pending_that_does_not_move_is_decided_late(clock: Clock) -> None:
    assert looks_until_still(clock, {}, is_pending=True) == STUCK_LIMIT_S / LONGEST_STEP_S


@pytest.mark.parametrize("is_pending", [False, True])
def test_a_change_begins_the_limit_anew(clock: Clock, *, is_pending: bool) -> None:
    limit = STUCK_LIMIT_S if is_pending else IDLE_LIMIT_S
    change = int(limit / LONGEST_STEP_S) - 1
    assert looks_until_still(clock, {change: "second"}, is_pending=is_pending) == change + limit / LONGEST_STEP_S


def test_as_long_as_anything_moves_nothing_is_lost_until_it_moves_without_an_end(clock: Clock) -> None:
    always = {look: f"state {look}" for look in range(10_000)}
    assert looks_until_still(clock, always, is_pending=False) == ENDLESS_LIMIT_S / LONGEST_STEP_S


def test_the_time_in_which_something_was_pending_does_not_count_when_it_is_gone(clock: Clock) -> None:
    stillness = Stillness(clock.deadline)
    for _ in range(int(2 * IDLE_LIMIT_S)):
        assert not stillness.is_reached(Progress(is_pending=True, state="same"))
        clock.now += LONGEST_STEP_S
    assert not stillness.is_reached(Progress(is_pending=False, state="same"))
