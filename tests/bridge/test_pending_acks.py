"""Deadlines of pending acks: an ack restarts those of the later messages to the same peer."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from ccarchiver_bridge.pending_acks import ACKNOWLEDGED_KEPT, PendingAck, PendingAcks

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
