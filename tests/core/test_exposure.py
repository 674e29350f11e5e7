"""The order within one image, for every interleaving of what can happen to it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ccarchiver_core.exposure import (
    EndReadout,
    Exposure,
    HeaderReady,
    Order,
    Sent,
    StartIntegration,
    ack_number,
)

IMAGE = "CC_O_20261122_735514"
START = StartIntegration(
    image_name=IMAGE, image_index=0, images_in_sequence=1, image_date="20261122", exposure_time=1.0
)
END = EndReadout(image_name=IMAGE, image_index=0, images_in_sequence=1)
HEADER = HeaderReady(url="http://127.0.0.1:8000/header.yaml")
EVENTS = (START, END, HEADER)
TARGET = "/data/staging/ccforwarder/2026-11-22/"
OF_FORWARDER = (Order.XFER_PARAMS, Order.END_READOUT, Order.HEADER_READY)


def send_all(exposure: Exposure, session: str, epoch: int) -> list[Order]:
    """Send what can be sent now, as the bridge does, and record it."""
    sent = list[Order]()
    while (order := exposure.next_order(session, epoch)) is not None:
        sent.append(order)
        exposure.sent[order] = Sent(ack_id="a", session_id=session, epoch=0 if order is Order.NEW_ITEM else epoch)
        assert len(sent) <= len(Order), "it sends for ever"
    return sent


@pytest.mark.parametrize("events", list(itertools.permutations(EVENTS)))
def test_the_events_may_come_in_any_order(events: tuple[StartIntegration | EndReadout | HeaderReady, ...]) -> None:
    exposure, sent = Exposure(obsid=IMAGE, job=1), list[Order]()
    for event in events:
        exposure.note(event)
        sent += send_all(exposure, "s", 1)
    exposure.target_dir = TARGET
    sent += send_all(exposure, "s", 1)

    assert sent[:2] == [Order.NEW_ITEM, Order.XFER_PARAMS]
    assert sorted(sent[2:]) == [Order.END_READOUT, Order.HEADER_READY]
    assert exposure.next_order("s", 1) is None


def test_nothing_is_sent_of_an_image_that_failed_or_is_wholly_retrieved() -> None:
    for change in ({"failed": "refused by the Controller"}, {"retrieved": True}):
        exposure = Exposure(obsid=IMAGE, job=1, start=START, end=END, header=HEADER, target_dir=TARGET, **change)
        assert exposure.next_order("s", 1) is None


def test_the_controller_is_asked_again_in_a_new_session_unless_it_has_answered() -> None:
    exposure = Exposure(obsid=IMAGE, job=1, start=START)
    assert send_all(exposure, "first", 1) == [Order.NEW_ITEM]
    assert send_all(exposure, "first", 2) == [], "the Controller does not care which Forwarder is paired"
    assert send_all(exposure, "second", 3) == [Order.NEW_ITEM]
    exposure.target_dir = TARGET
    assert send_all(exposure, "third", 4) == [Order.XFER_PARAMS]


def test_the_first_event_of_a_kind_counts() -> None:
    exposure = Exposure(obsid=IMAGE, job=1)
    exposure.note(HEADER)
    exposure.note(HeaderReady(url="http://127.0.0.1:8000/another.yaml"))

    assert exposure.header == HEADER


class OneImage(RuleBasedStateMachine):
    """One image among events in any order, answers, crashes and new Forwarders."""

    def __init__(self) -> None:
        super().__init__()
        self.exposure = Exposure(obsid=IMAGE, job=7)
        self.session = 1
        self.epoch = 1
        self.outside: list[tuple[Order, int, int]] = []
        self.came: set[object] = set()

    @initialize(job=st.integers(min_value=1, max_value=10**6))
    def begin(self, job: int) -> None:
        self.exposure.job = job

    @rule(event=st.sampled_from(EVENTS))
    def hear(self, event: StartIntegration | EndReadout | HeaderReady) -> None:
        """Take in an event, perhaps a repeated one."""
        self.exposure.note(event)
        self.came.add(event.kind)

    def _due(self) -> Order | None:
        return self.exposure.next_order(str(self.session), self.epoch)

    @rule(recorded=st.booleans())
    def send(self, *, recorded: bool) -> None:
        """Send what is due; without its record, as after a crash between the two, it is due again."""
        order = self._due()
        if order is None:
            return
        self._check_may_go_out(order)
        if not recorded:
            assert self._due() is order, "a crash before the record changes nothing"
            return
        self.outside.append((order, self.session, self.epoch))
        epoch = 0 if order is Order.NEW_ITEM else self.epoch
        ack_id = f"{self.session}_{ack_number(self.exposure.job, epoch, order.digit)}"
        self.exposure.sent[order] = Sent(ack_id=ack_id, session_id=str(self.session), epoch=epoch)

    def _check_may_go_out(self, order: Order) -> None:
        assert Order.NEW_ITEM is order or self.exposure.target_dir, f"{order} before the Controller's answer"
        if order in (Order.END_READOUT, Order.HEADER_READY):
            told = [o for o, _, epoch in self.outside if o is Order.XFER_PARAMS and epoch == self.epoch]
            assert told, f"{order} before the XFER_PARAMS of epoch {self.epoch}"
        if order is not Order.NEW_ITEM:
            already = [o for o, _, epoch in self.outside if o is order and epoch == self.epoch]
            assert not already, f"{order} twice in epoch {self.epoch}"
        else:
            assert (order, self.session) not in {(o, s) for o, s, _ in self.outside}, "NEW_ITEM twice in a session"

    @precondition(lambda self: Order.NEW_ITEM in self.exposure.sent)
    @rule()
    def controller_answers(self) -> None:
        self.exposure.target_dir = TARGET

    @precondition(lambda self: self.exposure.sent)
    @rule(data=st.data())
    def answer_comes(self, data: st.DataObject) -> None:
        """Note that an order was acknowledged, perhaps once more."""
        order = data.draw(st.sampled_from(sorted(self.exposure.sent)))
        self.exposure.sent[order] = self.exposure.sent[order].model_copy(update={"acked": True})

    @rule()
    def crash(self) -> None:
        """Come back with what the record has."""
        self.exposure = Exposure.model_validate_json(self.exposure.model_dump_json())

    @rule()
    def another_forwarder(self) -> None:
        self.epoch += 1

    @rule()
    def another_session(self) -> None:
        """Begin a session anew: it has a larger epoch too, as the epoch is never set back."""
        self.session += 1
        self.epoch += 1

    @precondition(lambda self: len(self.came) == len(EVENTS) and self.exposure.target_dir)
    @rule()
    def finish(self) -> None:
        """Send all that is left: then every Forwarder in force has been told everything, and nothing is left."""
        while self._due() is not None:
            self.send(recorded=True)
        assert self._due() is None
        assert {o for o, _, epoch in self.outside if epoch == self.epoch} >= set(OF_FORWARDER)

    @invariant()
    def begins_with_the_controller(self) -> None:
        assert not self.outside or self.outside[0][0] is Order.NEW_ITEM

    @invariant()
    def waits_for_the_camera(self) -> None:
        assert START.kind in self.came or not self.outside


OneImage.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOneImage = OneImage.TestCase


KEYS = st.tuples(
    st.integers(min_value=0, max_value=10**9),
    st.integers(min_value=0, max_value=999_999),
    st.sampled_from([order.digit for order in Order] + [0, 9]),
)


@given(KEYS, KEYS)
def test_ack_numbers_are_equal_only_for_the_same_order_of_the_same_job_and_epoch(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assert (ack_number(*one) == ack_number(*other)) is (one == other)


def test_every_order_has_a_digit_of_its_own() -> None:
    digits = [order.digit for order in Order]

    assert len(set(digits)) == len(Order)
    assert all(0 < digit < 9 for digit in digits), "0 is ASSOCIATED's, 9 the health checks'"
