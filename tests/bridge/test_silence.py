"""Peers that do not answer, or answer what nobody asked."""

from __future__ import annotations

import pytest

from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.worker_messages import (
    AssociateForwarder,
    AssociationOutcome,
    AssociationResult,
    ReplaceForwarder,
    SessionFailed,
)
from ccarchiver_core.keys import Worker
from tests.bridge.harness import SESSION, TARGET, BridgeHarness, end_of, header_of, start_of
from tests.bridge.peer import ACKS, FORWARDER, WireMessage
from tests.core.redis_helpers import counter, eventually, post, read_dead_letters


async def fault_of(harness: BridgeHarness) -> SessionFailed:
    async def told() -> list[SessionFailed]:
        harness.peer.look()
        return await harness.told(Worker.SAL, SessionFailed)

    [fault] = await eventually(told, "SessionFault")
    return fault


async def suspicion_of(harness: BridgeHarness) -> ReplaceForwarder:
    async def told() -> list[ReplaceForwarder]:
        harness.peer.look()
        return await harness.told(Worker.HEALTH, ReplaceForwarder)

    [suspicion] = await eventually(told, "ForwarderSuspect")
    return suspicion


def twice_the_same(harness: BridgeHarness, kind: str) -> WireMessage:
    first, second = [message for message in harness.peer.heard if message.kind == kind]
    assert first.body == second.body, "sent again it is the same, ACK_ID and all"
    return first


async def test_a_controller_that_does_not_answer_is_asked_twice_and_then_reported(
    impatient_harness: BridgeHarness,
) -> None:
    await impatient_harness.accept("i", start_of("i"))

    fault = await fault_of(impatient_harness)

    asked = twice_the_same(impatient_harness, "NEW_CC_ARCHIVE_ITEM")
    assert (fault.session_id, fault.code) == (SESSION, 5752)
    assert "archive_ctrl_consume" in fault.report
    assert "image i" in fault.report
    # Better late than never: the image goes on.
    impatient_harness.peer.acknowledge(asked, TARGET_DIR=TARGET, ACK_BOOL="TRUE")
    await impatient_harness.peer.hear("CC_FWDR_XFER_PARAMS", "i")


@pytest.mark.parametrize(
    ("silent_about", "code"),
    [("CC_FWDR_XFER_PARAMS", 5752), ("CC_FWDR_END_READOUT", 5753), ("CC_FWDR_HEADER_READY", 5754)],
)
async def test_a_forwarder_that_does_not_answer_is_asked_twice_and_then_suspect(
    impatient_harness: BridgeHarness, silent_about: str, code: int
) -> None:
    await impatient_harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await impatient_harness.controller_answers("i")
    await impatient_harness.peer.hear("CC_FWDR_HEADER_READY")
    for message in impatient_harness.peer.heard[1:4]:
        if message.kind != silent_about:
            impatient_harness.peer.acknowledge(message)

    suspicion = await suspicion_of(impatient_harness)

    twice_the_same(impatient_harness, silent_about)
    assert (suspicion.code, suspicion.epoch, suspicion.session_id) == (code, 1, SESSION)
    assert await impatient_harness.told(Worker.SAL, SessionFailed) == [], "health decides what becomes of it"


async def test_peers_that_answer_are_asked_once(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await harness.controller_answers("i")
    await harness.peer.hear("CC_FWDR_HEADER_READY")
    for message in harness.peer.heard[1:4]:
        harness.peer.acknowledge(message)

    async def nothing_is_owed() -> bool:
        return await harness.redis.hlen("ccarchiver:pending_acks") == 0

    await eventually(nothing_is_owed, "all answers to be taken in")  # only what is owed is asked for again
    harness.peer.look()
    assert len(harness.peer.heard) == 4


async def test_answers_to_nothing_late_doubled_or_of_another_session_change_nothing(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    asked = await harness.controller_answers("i")
    params = await harness.peer.hear("CC_FWDR_XFER_PARAMS")
    before = await harness.record("i")
    harness.peer.acknowledge(asked, TARGET_DIR="/somewhere/else/", ACK_BOOL="TRUE")
    harness.peer.say(
        ACKS, MSG_TYPE="NEW_CC_ARCHIVE_ITEM_ACK", ACK_ID="2020-01-01_00:00:00.000000_1", TARGET_DIR="/old/"
    )
    harness.peer.say(ACKS, MSG_TYPE="CC_FWDR_END_READOUT_ACK", ACK_ID="made up", IMAGE_ID="i")
    harness.peer.say(ACKS, MSG_TYPE="ASSOCIATED_ACK", ACK_ID="made up", ASSOCIATION_KEY="k")
    harness.peer.acknowledge(params)
    harness.peer.acknowledge(params)

    async def ignored() -> bool:
        return await counter(harness.redis, "unexpected_acks") == 5

    await eventually(ignored, "five answers ignored")
    after = await harness.record("i")
    assert after["target_dir"] == before["target_dir"] == TARGET
    assert "end_readout" not in after
    assert await harness.all_told(Worker.SAL) == []
    assert await read_dead_letters(harness.redis) == []


async def test_an_answer_of_the_wrong_kind_is_dead_lettered_and_settles_nothing(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    asked = await harness.peer.hear("NEW_CC_ARCHIVE_ITEM")
    harness.peer.say(ACKS, MSG_TYPE="CC_FWDR_XFER_PARAMS_ACK", ACK_ID=asked.fields["ACK_ID"], IMAGE_ID="i")

    [dead] = await eventually(lambda: read_dead_letters(harness.redis), "a dead letter")
    assert asked.fields["ACK_ID"].encode() in dead["reason"]
    await harness.controller_answers("i")
    await harness.peer.hear("CC_FWDR_XFER_PARAMS")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"TARGET_DIR": "/data/$(reboot)"}, b"TARGET_DIR"),
        ({"TARGET_DIR": "/data/../etc"}, b"TARGET_DIR"),
        ({}, b"TARGET_DIR"),
        ({"TARGET_DIR": TARGET, "ACK_BOOL": "FALSE"}, b"refused"),
        ({"TARGET_DIR": TARGET, "IMAGE_ID": "another"}, b"another"),
    ],
)
async def test_an_answer_of_the_controller_that_cannot_be_used_is_a_fault_and_reaches_no_forwarder(
    harness: BridgeHarness, answer: dict[str, object], reason: bytes
) -> None:
    await harness.accept("i", start_of("i"), end_of("i"))
    asked = await harness.peer.hear("NEW_CC_ARCHIVE_ITEM")
    harness.peer.acknowledge(asked, **answer)

    fault = await fault_of(harness)

    assert fault.code == 5752
    [dead] = await read_dead_letters(harness.redis)
    assert reason in dead["reason"]
    assert dead["obsid"] == b"i"
    record = await harness.record("i")
    assert record["state"] == "failed"
    await harness.peer.quiet(0.2)
    assert harness.kinds("i") == ["NEW_CC_ARCHIVE_ITEM"]


async def test_a_controller_that_leaves_health_checks_unanswered_is_a_fault(impatient_harness: BridgeHarness) -> None:
    impatient_harness.peer.controller_lives = False

    fault = await fault_of(impatient_harness)

    assert fault.code == 5751
    assert len(impatient_harness.peer.health_checks) == impatient_harness.settings.controller_max_missed_checks == 3
    ack_ids = {message.fields["ACK_ID"] for message in impatient_harness.peer.health_checks}
    assert len(ack_ids) == 3
    assert {message.fields["SESSION_ID"] for message in impatient_harness.peer.health_checks} == {SESSION}


async def test_a_controller_that_answers_health_checks_is_left_in_peace(impatient_harness: BridgeHarness) -> None:
    await impatient_harness.peer.until(lambda: len(impatient_harness.peer.health_checks) >= 6, "health checks")

    assert await impatient_harness.told(Worker.SAL, SessionFailed) == []


F99 = ForwarderEntry(hostname="f99", ip_address="127.0.0.1", consume_queue=FORWARDER)


async def reply_to(harness: BridgeHarness, epoch: int) -> AssociationResult:
    async def told() -> list[AssociationResult]:
        harness.peer.look()
        return [reply for reply in await harness.told(Worker.HEALTH, AssociationResult) if reply.epoch == epoch]

    [reply] = await eventually(told, "ForwarderReply")
    return reply


async def ask(harness: BridgeHarness, epoch: int) -> None:
    await harness.search(epoch=epoch)
    await post(harness.redis, Worker.BRIDGE, AssociateForwarder(session_id=SESSION, epoch=epoch, forwarder=F99))


async def test_a_forwarder_that_takes_the_pairing_is_reported_with_its_key(harness: BridgeHarness) -> None:
    await ask(harness, 2)
    asked = await harness.peer.hear("ASSOCIATED")
    assert asked.fields["ASSOCIATION_KEY"] == "ccarchiver_association"
    harness.peer.acknowledge(asked, ASSOCIATION_KEY="f99_association")

    reply = await reply_to(harness, 2)

    assert (reply.result, reply.presence_key) == (AssociationOutcome.ASSOCIATED, "f99_association")


async def test_a_forwarder_that_does_not_answer_associated_is_asked_twice_and_reported(
    impatient_harness: BridgeHarness,
) -> None:
    await ask(impatient_harness, 2)

    reply = await reply_to(impatient_harness, 2)

    twice_the_same(impatient_harness, "ASSOCIATED")
    assert reply.result is AssociationOutcome.SILENT


async def test_a_listed_forwarder_that_is_not_there_is_reported_at_once_and_its_queue_emptied(
    harness: BridgeHarness,
) -> None:
    harness.peer.stop_listening(FORWARDER)
    harness.peer.say_raw(FORWARDER, b"an order for the dead one")
    await harness.peer.until(lambda: harness.peer.messages_in(FORWARDER) == 1, "the old order")

    await ask(harness, 2)

    assert (await reply_to(harness, 2)).result is AssociationOutcome.NO_CONSUMER
    assert harness.peer.messages_in(FORWARDER) == 0
