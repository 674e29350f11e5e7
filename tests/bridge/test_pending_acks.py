"""Deadlines of pending acks: an ack restarts those of the later messages to the same peer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccarchiver_bridge.pending_acks import ACKNOWLEDGED_KEPT, PendingAcks
from ccarchiver_core.domain.pending_ack import PendingAck

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 5.0
QUEUES = ("a", "b")


class PlainModel:
    """The same rule, implemented with a loop over all messages."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.sent: list[PendingAck] = []

    def expect(self, one: PendingAck, now: float) -> None:
        self.sent.append(one)
        self.due[one.ack_id] = now + TIMEOUT

    def acknowledge(self, one: PendingAck, now: float) -> None:
        for later in self.sent[self.sent.index(one) + 1 :]:
            if later.queue == one.queue and later.ack_id in self.due:
                self.due[later.ack_id] = now + TIMEOUT
        self.due.pop(one.ack_id, None)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 40), st.floats(0.0, 2.0), st.sampled_from(QUEUES)),
        min_size=20,
        max_size=80,
    )
)
def test_overdue_acks_are_those_of_a_plain_model(
    actions: list[tuple[bool, int, float, str]],
) -> None:
    now = 1000.0
    pending_acks, model = PendingAcks(TIMEOUT), PlainModel()
    with mock.patch("time.monotonic", side_effect=lambda: now):
        for number, (is_new, which, passes, queue) in enumerate(actions):
            now += passes
            open_ones = [one for one in model.sent if one.ack_id in model.due]
            if is_new or not open_ones:
                one = PendingAck(
                    ack_id=f"{number}", session_id="s", epoch=1, queue=queue, obsid="i"
                )
                pending_acks.expect(one)
                model.expect(one, now)
            else:
                one = open_ones[which % len(open_ones)]
                pending_acks.extend_later(one)
                pending_acks.forget(one.ack_id)
                model.acknowledge(one, now)
            for at in (now, now + TIMEOUT / 2, now + TIMEOUT):
                late = [one.ack_id for one in model.sent if model.due.get(one.ack_id, at + 1) <= at]
                assert [one.ack_id for one in pending_acks.overdue(at)] == late


def test_record_of_answered_messages_does_not_grow() -> None:
    pending_acks = PendingAcks(TIMEOUT)
    for number in range(10 * ACKNOWLEDGED_KEPT):
        one = PendingAck(ack_id=f"{number}", session_id="s", epoch=1, queue="a", obsid="i")
        pending_acks.expect(one)
        pending_acks.extend_later(one)
        pending_acks.forget(one.ack_id)
    assert len(pending_acks._acknowledged["a"]) <= ACKNOWLEDGED_KEPT + 1


def ack(ack_id: str, queue: str = "a") -> PendingAck:
    return PendingAck(ack_id=ack_id, session_id="s", epoch=1, queue=queue, obsid="i")


class SuspendedQueue:
    """Pending acks with an adjustable clock: queue ``a`` is suspended at second 0."""

    def __init__(self, clock: mock.MagicMock, limit_s: float) -> None:
        self._clock = clock
        self.set_time(0.0)
        self.pending_acks = PendingAcks(TIMEOUT)
        self.pending_acks.suspend("a", limit_s)
        for one in (ack("1"), ack("2"), ack("of_b", "b")):
            self.pending_acks.expect(one)

    def set_time(self, now: float) -> None:
        self._clock.return_value = now

    def overdue_at(self, now: float) -> list[str]:
        return [one.ack_id for one in self.pending_acks.overdue(now)]


@pytest.fixture
def clock() -> Iterator[mock.MagicMock]:
    with mock.patch("time.monotonic") as clock:
        yield clock


def test_suspended_queue_has_no_overdue_acks_until_the_limit(clock: mock.MagicMock) -> None:
    queue = SuspendedQueue(clock, 60.0)

    assert queue.overdue_at(59.0 + TIMEOUT) == ["of_b"]
    assert queue.overdue_at(60.0 + TIMEOUT) == ["1", "2", "of_b"]


def test_end_of_a_suspension_restarts_the_deadlines_of_its_queue(clock: mock.MagicMock) -> None:
    queue = SuspendedQueue(clock, 60.0)
    queue.set_time(30.0)

    queue.pending_acks.resume("a")

    assert queue.overdue_at(29.0 + TIMEOUT) == ["of_b"]
    assert queue.overdue_at(30.0 + TIMEOUT) == ["1", "2", "of_b"]


def test_ack_of_a_later_message_ends_the_suspension(clock: mock.MagicMock) -> None:
    queue = SuspendedQueue(clock, 60.0)
    queue.set_time(30.0)

    queue.pending_acks.extend_later(ack("1"))
    queue.pending_acks.forget("1")

    assert queue.overdue_at(30.0 + TIMEOUT) == ["2", "of_b"]


def test_queue_with_a_pending_ack_is_expected_to_answer(clock: mock.MagicMock) -> None:
    queue = SuspendedQueue(clock, 60.0)
    queue.pending_acks.forget("of_b")

    assert queue.pending_acks.is_expected_from("a")
    assert not queue.pending_acks.is_expected_from("b")
