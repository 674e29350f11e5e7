"""The order within one image, for every interleaving of what can happen to it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ccarchiver_core.domain.exposure import (
    EndReadout,
    Exposure,
    HeaderReady,
    Instruction,
    SentInstruction,
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
OF_FORWARDER = (Instruction.XFER_PARAMS, Instruction.END_READOUT, Instruction.HEADER_READY)


def send_all(exposure: Exposure, session: str, epoch: int) -> list[Instruction]:
    """Send what can be sent now, as the bridge does, and record it."""
    sent = list[Instruction]()
    while (instruction := exposure.next_instruction(session, epoch)) is not None:
        sent.append(instruction)
        exposure.sent[instruction] = SentInstruction(
            ack_id="a", session_id=session, epoch=0 if instruction is Instruction.NEW_ITEM else epoch
        )
        assert len(sent) <= len(Instruction), "it sends for ever"
    return sent


@pytest.mark.parametrize("events", list(itertools.permutations(EVENTS)))
def test_the_events_may_come_in_any_order(events: tuple[StartIntegration | EndReadout | HeaderReady, ...]) -> None:
    exposure, sent = Exposure(obsid=IMAGE, job=1), list[Instruction]()
    for event in events:
        exposure.apply(event)
        sent += send_all(exposure, "s", 1)
    exposure.target_dir = TARGET
    sent += send_all(exposure, "s", 1)

    assert sent[:2] == [Instruction.NEW_ITEM, Instruction.XFER_PARAMS]
    assert sorted(sent[2:]) == [Instruction.END_READOUT, Instruction.HEADER_READY]
    assert exposure.next_instruction("s", 1) is None


def test_nothing_is_sent_of_an_image_that_failed_or_is_wholly_retrieved() -> None:
    for change in ({"failure_reason": "refused by the Controller"}, {"retrieved": True}):
        exposure = Exposure(obsid=IMAGE, job=1, start=START, end=END, header=HEADER, target_dir=TARGET, **change)
        assert exposure.next_instruction("s", 1) is None


def test_the_controller_is_asked_again_in_a_new_session_unless_it_has_answered() -> None:
    exposure = Exposure(obsid=IMAGE, job=1, start=START)
    assert send_all(exposure, "first", 1) == [Instruction.NEW_ITEM]
    assert send_all(exposure, "first", 2) == [], "the Controller does not care which Forwarder is paired"
    assert send_all(exposure, "second", 3) == [Instruction.NEW_ITEM]
    exposure.target_dir = TARGET
    assert send_all(exposure, "third", 4) == [Instruction.XFER_PARAMS]


def test_the_first_event_of_a_kind_counts() -> None:
    exposure = Exposure(obsid=IMAGE, job=1)
    exposure.apply(HEADER)
    exposure.apply(HeaderReady(url="http://127.0.0.1:8000/another.yaml"))

    assert exposure.header == HEADER


class OneImage(RuleBasedStateMachine):
    """One image among events in any order, answers, crashes and new Forwarders."""

    def __init__(self) -> None:
        super().__init__()
        self.exposure = Exposure(obsid=IMAGE, job=7)
        self.session = 1
        self.epoch = 1
        self.outside: list[tuple[Instruction, int, int]] = []
        self.came: set[object] = set()

    @initialize(job=st.integers(min_value=1, max_value=10**6))
    def begin(self, job: int) -> None:
        self.exposure.job = job

    @rule(event=st.sampled_from(EVENTS))
    def hear(self, event: StartIntegration | EndReadout | HeaderReady) -> None:
        """Take in an event, perhaps a repeated one."""
        self.exposure.apply(event)
        self.came.add(event.kind)

    def _due(self) -> Instruction | None:
        return self.exposure.next_instruction(str(self.session), self.epoch)

    @rule(recorded=st.booleans())
    def send(self, *, recorded: bool) -> None:
        """Send what is due; without its record, as after a crash between the two, it is due again."""
        instruction = self._due()
        if instruction is None:
            return
        self._check_may_go_out(instruction)
        if not recorded:
            assert self._due() is instruction, "a crash before the record changes nothing"
            return
        self.outside.append((instruction, self.session, self.epoch))
        epoch = 0 if instruction is Instruction.NEW_ITEM else self.epoch
        ack_id = f"{self.session}_{ack_number(self.exposure.job, epoch, instruction.digit)}"
        self.exposure.sent[instruction] = SentInstruction(ack_id=ack_id, session_id=str(self.session), epoch=epoch)

    def _check_may_go_out(self, instruction: Instruction) -> None:
        assert Instruction.NEW_ITEM is instruction or self.exposure.target_dir, (
            f"{instruction} before the Controller's answer"
        )
        if instruction in (Instruction.END_READOUT, Instruction.HEADER_READY):
            told = [o for o, _, epoch in self.outside if o is Instruction.XFER_PARAMS and epoch == self.epoch]
            assert told, f"{instruction} before the XFER_PARAMS of epoch {self.epoch}"
        if instruction is not Instruction.NEW_ITEM:
            already = [o for o, _, epoch in self.outside if o is instruction and epoch == self.epoch]
            assert not already, f"{instruction} twice in epoch {self.epoch}"
        else:
            assert (instruction, self.session) not in {(o, s) for o, s, _ in self.outside}, (
                "NEW_ITEM twice in a session"
            )

    @precondition(lambda self: Instruction.NEW_ITEM in self.exposure.sent)
    @rule()
    def controller_answers(self) -> None:
        self.exposure.target_dir = TARGET

    @precondition(lambda self: self.exposure.sent)
    @rule(data=st.data())
    def answer_comes(self, data: st.DataObject) -> None:
        """Note that an order was acknowledged, perhaps once more."""
        instruction = data.draw(st.sampled_from(sorted(self.exposure.sent)))
        self.exposure.sent[instruction] = self.exposure.sent[instruction].model_copy(update={"acked": True})

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
        assert not self.outside or self.outside[0][0] is Instruction.NEW_ITEM

    @invariant()
    def waits_for_the_camera(self) -> None:
        assert START.kind in self.came or not self.outside


OneImage.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOneImage = OneImage.TestCase


KEYS = st.tuples(
    st.integers(min_value=0, max_value=10**9),
    st.integers(min_value=0, max_value=999_999),
    st.sampled_from([instruction.digit for instruction in Instruction] + [0, 9]),
)


@given(KEYS, KEYS)
def test_ack_numbers_are_equal_only_for_the_same_order_of_the_same_job_and_epoch(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assert (ack_number(*one) == ack_number(*other)) is (one == other)


def test_every_order_has_a_digit_of_its_own() -> None:
    digits = [instruction.digit for instruction in Instruction]

    assert len(set(digits)) == len(Instruction)
    assert all(0 < digit < 9 for digit in digits), "0 is ASSOCIATED's, 9 the health checks'"
