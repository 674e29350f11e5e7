"""Deadlines of answers: what a peer got after the one it answers has its full time again."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from ccarchiver_bridge.pending_acks import HEARD_KEPT, PendingAck, PendingAcks

TIMEOUT = 5.0
QUEUES = ("a", "b")


class Plain:
    """The same by going through all of them each time."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.sent: list[PendingAck] = []

    def expect(self, one: PendingAck, now: float) -> None:
        self.sent.append(one)
        self.due[one.ack_id] = now + TIMEOUT

    def heard(self, one: PendingAck, now: float) -> None:
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
def test_it_is_what_going_through_all_of_them_gives(steps: list[tuple[bool, int, float, str]]) -> None:
    now = 1000.0
    answers, plain = PendingAcks(TIMEOUT), Plain()
    with mock.patch("time.monotonic", side_effect=lambda: now):
        for number, (is_new, which, passes, queue) in enumerate(steps):
            now += passes
            open_ones = [one for one in plain.sent if one.ack_id in plain.due]
            if is_new or not open_ones:
                one = PendingAck(ack_id=f"{number}", session_id="s", epoch=1, queue=queue, obsid="i")
                answers.expect(one)
                plain.expect(one, now)
            else:
                one = open_ones[which % len(open_ones)]
                answers.find_late(one)
                answers.forget(one.ack_id)
                plain.heard(one, now)
            for at in (now, now + TIMEOUT / 2, now + TIMEOUT):
                late = [one.ack_id for one in plain.sent if plain.due.get(one.ack_id, at + 1) <= at]
                assert [one.ack_id for one in answers.overdue(at)] == late


def test_what_is_remembered_of_a_diligent_peer_does_not_grow() -> None:
    answers = PendingAcks(TIMEOUT)
    for number in range(10 * HEARD_KEPT):
        one = PendingAck(ack_id=f"{number}", session_id="s", epoch=1, queue="a", obsid="i")
        answers.expect(one)
        answers.find_late(one)
        answers.forget(one.ack_id)
    assert len(answers._heard["a"]) <= HEARD_KEPT + 1
