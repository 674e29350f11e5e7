"""The order of one image's instructions, with events, acks, crashes and pairings in any order."""

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
    """Send all instructions that are ready, as the bridge does, and record them."""
    sent = list[Instruction]()
    while (instruction := exposure.next_instruction(session, epoch)) is not None:
        sent.append(instruction)
        exposure.sent[instruction] = SentInstruction(
            ack_id="a",
            session_id=session,
            epoch=0 if instruction is Instruction.NEW_ITEM else epoch,
        )
        assert len(sent) <= len(Instruction), "it sends more instructions than there are"
    return sent


@pytest.mark.parametrize("events", list(itertools.permutations(EVENTS)))
def test_instructions_are_in_order_for_any_order_of_events(
    events: tuple[StartIntegration | EndReadout | HeaderReady, ...],
) -> None:
    exposure, sent = Exposure(obsid=IMAGE, job=1), list[Instruction]()
    for event in events:
        exposure.apply(event)
        sent += send_all(exposure, "s", 1)
    exposure.target_dir = TARGET
    sent += send_all(exposure, "s", 1)

    assert sent[:2] == [Instruction.NEW_ITEM, Instruction.XFER_PARAMS]
    assert sorted(sent[2:]) == [Instruction.END_READOUT, Instruction.HEADER_READY]
    assert exposure.next_instruction("s", 1) is None


def test_failed_or_retrieved_image_has_no_next_instruction() -> None:
    for change in ({"failure_reason": "rejected by the Controller"}, {"retrieved": True}):
        exposure = Exposure(
            obsid=IMAGE, job=1, start=START, end=END, header=HEADER, target_dir=TARGET, **change
        )
        assert exposure.next_instruction("s", 1) is None


def test_new_item_is_sent_again_in_a_new_session_unless_acknowledged() -> None:
    exposure = Exposure(obsid=IMAGE, job=1, start=START)
    assert send_all(exposure, "first", 1) == [Instruction.NEW_ITEM]
    assert send_all(exposure, "first", 2) == [], (
        "the Controller's instruction does not depend on the paired Forwarder"
    )
    assert send_all(exposure, "second", 3) == [Instruction.NEW_ITEM]
    exposure.target_dir = TARGET
    assert send_all(exposure, "third", 4) == [Instruction.XFER_PARAMS]


def test_first_event_of_a_kind_is_kept() -> None:
    exposure = Exposure(obsid=IMAGE, job=1)
    exposure.apply(HEADER)
    exposure.apply(HeaderReady(url="http://127.0.0.1:8000/another.yaml"))

    assert exposure.header == HEADER


class OneImage(RuleBasedStateMachine):
    """One image with events in any order, acknowledgements, crashes and new Forwarders."""

    def __init__(self) -> None:
        super().__init__()
        self.exposure = Exposure(obsid=IMAGE, job=7)
        self.session = 1
        self.epoch = 1
        self.published: list[tuple[Instruction, int, int]] = []
        self.received: set[object] = set()

    @initialize(job=st.integers(min_value=1, max_value=10**6))
    def begin(self, job: int) -> None:
        self.exposure.job = job

    @rule(event=st.sampled_from(EVENTS))
    def receive_event(self, event: StartIntegration | EndReadout | HeaderReady) -> None:
        """Apply an event, perhaps a repeated one."""
        self.exposure.apply(event)
        self.received.add(event.kind)

    def _next(self) -> Instruction | None:
        return self.exposure.next_instruction(str(self.session), self.epoch)

    @rule(recorded=st.booleans())
    def send(self, *, recorded: bool) -> None:
        """Send the next instruction. Without its record it is the next one again."""
        instruction = self._next()
        if instruction is None:
            return
        self._check_may_be_sent(instruction)
        if not recorded:
            assert self._next() is instruction, "a crash before the record changes nothing"
            return
        self.published.append((instruction, self.session, self.epoch))
        epoch = 0 if instruction is Instruction.NEW_ITEM else self.epoch
        ack_id = f"{self.session}_{ack_number(self.exposure.job, epoch, instruction.digit)}"
        self.exposure.sent[instruction] = SentInstruction(
            ack_id=ack_id, session_id=str(self.session), epoch=epoch
        )

    def _check_may_be_sent(self, instruction: Instruction) -> None:
        assert Instruction.NEW_ITEM is instruction or self.exposure.target_dir, (
            f"{instruction} before the Controller's answer"
        )
        if instruction in (Instruction.END_READOUT, Instruction.HEADER_READY):
            params_sent = [
                o
                for o, _, epoch in self.published
                if o is Instruction.XFER_PARAMS and epoch == self.epoch
            ]
            assert params_sent, f"{instruction} before the XFER_PARAMS of epoch {self.epoch}"
        if instruction is not Instruction.NEW_ITEM:
            already = [
                o for o, _, epoch in self.published if o is instruction and epoch == self.epoch
            ]
            assert not already, f"{instruction} twice in epoch {self.epoch}"
        else:
            assert (instruction, self.session) not in {(o, s) for o, s, _ in self.published}, (
                "NEW_ITEM twice in a session"
            )

    @precondition(lambda self: Instruction.NEW_ITEM in self.exposure.sent)
    @rule()
    def controller_answers(self) -> None:
        self.exposure.target_dir = TARGET

    @precondition(lambda self: self.exposure.sent)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Record that an instruction was acknowledged, perhaps once more."""
        instruction = data.draw(st.sampled_from(sorted(self.exposure.sent)))
        self.exposure.sent[instruction] = self.exposure.sent[instruction].model_copy(
            update={"acked": True}
        )

    @rule()
    def crash(self) -> None:
        """Restart from the record."""
        self.exposure = Exposure.model_validate_json(self.exposure.model_dump_json())

    @rule()
    def another_forwarder(self) -> None:
        self.epoch += 1

    @rule()
    def another_session(self) -> None:
        """Start a new session. Its epoch is larger too, because the epoch never decreases."""
        self.session += 1
        self.epoch += 1

    @precondition(lambda self: len(self.received) == len(EVENTS) and self.exposure.target_dir)
    @rule()
    def finish(self) -> None:
        """Send all remaining instructions. Then the current Forwarder has every instruction."""
        while self._next() is not None:
            self.send(recorded=True)
        assert self._next() is None
        assert {o for o, _, epoch in self.published if epoch == self.epoch} >= set(OF_FORWARDER)

    @invariant()
    def begins_with_the_controller(self) -> None:
        assert not self.published or self.published[0][0] is Instruction.NEW_ITEM

    @invariant()
    def waits_for_the_camera(self) -> None:
        assert START.kind in self.received or not self.published


OneImage.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOneImage = OneImage.TestCase


KEYS = st.tuples(
    st.integers(min_value=0, max_value=10**9),
    st.integers(min_value=0, max_value=999_999),
    st.sampled_from([instruction.digit for instruction in Instruction] + [0, 9]),
)


@given(KEYS, KEYS)
def test_ack_number_is_unique_for_job_epoch_and_instruction(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assert (ack_number(*one) == ack_number(*other)) is (one == other)


def test_each_instruction_has_its_own_digit() -> None:
    digits = [instruction.digit for instruction in Instruction]

    assert len(set(digits)) == len(Instruction)
    assert all(0 < digit < 9 for digit in digits), "0 is ASSOCIATED's, 9 the health checks'"
