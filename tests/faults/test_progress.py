"""An image counts as lost only when the archiver makes no more progress."""

from __future__ import annotations

import pytest

from ccarchiver_sim.faults.progress import (
    ENDLESS_LIMIT_S,
    IDLE_LIMIT_S,
    STUCK_LIMIT_S,
    Progress,
    Stillness,
)
from ccarchiver_sim.pace import LONGEST_STEP_S, REFERENCE_PROBE_S, Deadline, Pace


class Clock:
    """A monotonic clock that the test advances, on a free machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def deadline(self, limit_s: float) -> Deadline:
        return Deadline(limit_s, Pace(lambda: 0, lambda: REFERENCE_PROBE_S))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def polls_until_still(
    clock: Clock, states: dict[int, str], *, is_pending: bool, at_most: int = 10_000
) -> int | None:
    """Return the number of polls until stillness is decided. `states` has the changes."""
    stillness = Stillness(clock.deadline)
    state = "first"
    for poll in range(at_most):
        state = states.get(poll, state)
        if stillness.is_reached(Progress(is_pending=is_pending, state=state)):
            return poll
        clock.now += LONGEST_STEP_S
    return None


def test_stillness_without_pending_work_is_decided_after_idle_limit(clock: Clock) -> None:
    assert polls_until_still(clock, {}, is_pending=False) == IDLE_LIMIT_S / LONGEST_STEP_S


def test_stillness_with_pending_work_is_decided_after_stuck_limit(clock: Clock) -> None:
    assert polls_until_still(clock, {}, is_pending=True) == STUCK_LIMIT_S / LONGEST_STEP_S


@pytest.mark.parametrize("is_pending", [False, True])
def test_change_of_the_state_restarts_the_limit(clock: Clock, *, is_pending: bool) -> None:
    limit = STUCK_LIMIT_S if is_pending else IDLE_LIMIT_S
    change = int(limit / LONGEST_STEP_S) - 1
    assert (
        polls_until_still(clock, {change: "second"}, is_pending=is_pending)
        == change + limit / LONGEST_STEP_S
    )


def test_stillness_with_endless_changes_is_decided_after_endless_limit(clock: Clock) -> None:
    always = {poll: f"state {poll}" for poll in range(10_000)}
    assert polls_until_still(clock, always, is_pending=False) == ENDLESS_LIMIT_S / LONGEST_STEP_S


def test_time_with_pending_work_does_not_count_for_the_idle_limit(clock: Clock) -> None:
    stillness = Stillness(clock.deadline)
    for _ in range(int(2 * IDLE_LIMIT_S)):
        assert not stillness.is_reached(Progress(is_pending=True, state="same"))
        clock.now += LONGEST_STEP_S
    assert not stillness.is_reached(Progress(is_pending=False, state="same"))
