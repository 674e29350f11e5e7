"""Peers that do not answer, or answer what nobody asked."""

from __future__ import annotations

import pytest

from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import AskForwarder, ForwarderEntry, ForwarderReply, ForwarderSuspect, Reply, SessionFault
from tests.bridge.desk import SESSION, TARGET, Desk, end_of, header_of, start_of
from tests.bridge.peer import ACKS, FORWARDER, Letter
from tests.core.place import counter, dead_letters, eventually, post


async def fault_of(desk: Desk) -> SessionFault:
    async def told() -> list[SessionFault]:
        desk.peer.look()
        return await desk.told(Worker.SAL, SessionFault)

    [fault] = await eventually(told, "SessionFault")
    return fault


async def suspicion_of(desk: Desk) -> ForwarderSuspect:
    async def told() -> list[ForwarderSuspect]:
        desk.peer.look()
        return await desk.told(Worker.HEALTH, ForwarderSuspect)

    [suspicion] = await eventually(told, "ForwarderSuspect")
    return suspicion


def twice_the_same(desk: Desk, kind: str) -> Letter:
    first, second = [letter for letter in desk.peer.heard if letter.kind == kind]
    assert first.body == second.body, "sent again it is the same, ACK_ID and all"
    return first


async def test_a_controller_that_does_not_answer_is_asked_twice_and_then_reported(hasty_desk: Desk) -> None:
    await hasty_desk.accept("i", start_of("i"))

    fault = await fault_of(hasty_desk)

    asked = twice_the_same(hasty_desk, "NEW_CC_ARCHIVE_ITEM")
    assert (fault.session_id, fault.code) == (SESSION, 5752)
    assert "archive_ctrl_consume" in fault.report
    assert "image i" in fault.report
    # Better late than never: the image goes on.
    hasty_desk.peer.acknowledge(asked, TARGET_DIR=TARGET, ACK_BOOL="TRUE")
    await hasty_desk.peer.hear("CC_FWDR_XFER_PARAMS", "i")


@pytest.mark.parametrize(
    ("silent_about", "code"),
    [("CC_FWDR_XFER_PARAMS", 5752), ("CC_FWDR_END_READOUT", 5753), ("CC_FWDR_HEADER_READY", 5754)],
)
async def test_a_forwarder_that_does_not_answer_is_asked_twice_and_then_suspect(
    hasty_desk: Desk, silent_about: str, code: int
) -> None:
    await hasty_desk.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await hasty_desk.controller_answers("i")
    await hasty_desk.peer.hear("CC_FWDR_HEADER_READY")
    for letter in hasty_desk.peer.heard[1:4]:
        if letter.kind != silent_about:
            hasty_desk.peer.acknowledge(letter)

    suspicion = await suspicion_of(hasty_desk)

    twice_the_same(hasty_desk, silent_about)
    assert (suspicion.code, suspicion.epoch, suspicion.session_id) == (code, 1, SESSION)
    assert await hasty_desk.told(Worker.SAL, SessionFault) == [], "health decides what becomes of it"


async def test_peers_that_answer_are_asked_once(desk: Desk) -> None:
    await desk.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_HEADER_READY")
    for letter in desk.peer.heard[1:4]:
        desk.peer.acknowledge(letter)

    async def nothing_is_owed() -> bool:
        return await desk.redis.hlen("ccarchiver:acks") == 0

    await eventually(nothing_is_owed, "all answers to be taken in")  # only what is owed is asked for again
    desk.peer.look()
    assert len(desk.peer.heard) == 4


async def test_answers_to_nothing_late_doubled_or_of_another_session_change_nothing(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    asked = await desk.controller_answers("i")
    params = await desk.peer.hear("CC_FWDR_XFER_PARAMS")
    before = await desk.record("i")
    desk.peer.acknowledge(asked, TARGET_DIR="/somewhere/else/", ACK_BOOL="TRUE")
    desk.peer.say(ACKS, MSG_TYPE="NEW_CC_ARCHIVE_ITEM_ACK", ACK_ID="2020-01-01_00:00:00.000000_1", TARGET_DIR="/old/")
    desk.peer.say(ACKS, MSG_TYPE="CC_FWDR_END_READOUT_ACK", ACK_ID="made up", IMAGE_ID="i")
    desk.peer.say(ACKS, MSG_TYPE="ASSOCIATED_ACK", ACK_ID="made up", ASSOCIATION_KEY="k")
    desk.peer.acknowledge(params)
    desk.peer.acknowledge(params)

    async def ignored() -> bool:
        return await counter(desk.redis, "acks_ignored") == 5

    await eventually(ignored, "five answers ignored")
    after = await desk.record("i")
    assert after["target_dir"] == before["target_dir"] == TARGET
    assert "end_readout" not in after
    assert await desk.all_told(Worker.SAL) == []
    assert await dead_letters(desk.redis) == []


async def test_an_answer_of_the_wrong_kind_is_dead_lettered_and_settles_nothing(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    asked = await desk.peer.hear("NEW_CC_ARCHIVE_ITEM")
    desk.peer.say(ACKS, MSG_TYPE="CC_FWDR_XFER_PARAMS_ACK", ACK_ID=asked.fields["ACK_ID"], IMAGE_ID="i")

    [dead] = await eventually(lambda: dead_letters(desk.redis), "a dead letter")
    assert asked.fields["ACK_ID"].encode() in dead["reason"]
    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_XFER_PARAMS")


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
    desk: Desk, answer: dict[str, object], reason: bytes
) -> None:
    await desk.accept("i", start_of("i"), end_of("i"))
    asked = await desk.peer.hear("NEW_CC_ARCHIVE_ITEM")
    desk.peer.acknowledge(asked, **answer)

    fault = await fault_of(desk)

    assert fault.code == 5752
    [dead] = await dead_letters(desk.redis)
    assert reason in dead["reason"]
    assert dead["obsid"] == b"i"
    record = await desk.record("i")
    assert record["state"] == "failed"
    await desk.peer.quiet(0.2)
    assert desk.kinds("i") == ["NEW_CC_ARCHIVE_ITEM"]


async def test_a_controller_that_leaves_health_checks_unanswered_is_a_fault(hasty_desk: Desk) -> None:
    hasty_desk.peer.controller_lives = False

    fault = await fault_of(hasty_desk)

    assert fault.code == 5751
    assert len(hasty_desk.peer.health_checks) == hasty_desk.settings.controller_misses == 3
    ack_ids = {letter.fields["ACK_ID"] for letter in hasty_desk.peer.health_checks}
    assert len(ack_ids) == 3
    assert {letter.fields["SESSION_ID"] for letter in hasty_desk.peer.health_checks} == {SESSION}


async def test_a_controller_that_answers_health_checks_is_left_in_peace(hasty_desk: Desk) -> None:
    await hasty_desk.peer.until(lambda: len(hasty_desk.peer.health_checks) >= 6, "health checks")

    assert await hasty_desk.told(Worker.SAL, SessionFault) == []


F99 = ForwarderEntry(hostname="f99", ip_address="127.0.0.1", consume_queue=FORWARDER)


async def reply_to(desk: Desk, epoch: int) -> ForwarderReply:
    async def told() -> list[ForwarderReply]:
        desk.peer.look()
        return [reply for reply in await desk.told(Worker.HEALTH, ForwarderReply) if reply.epoch == epoch]

    [reply] = await eventually(told, "ForwarderReply")
    return reply


async def ask(desk: Desk, epoch: int) -> None:
    await desk.search(epoch=epoch)
    await post(desk.redis, Worker.BRIDGE, AskForwarder(session_id=SESSION, epoch=epoch, forwarder=F99))


async def test_a_forwarder_that_takes_the_pairing_is_reported_with_its_key(desk: Desk) -> None:
    await ask(desk, 2)
    asked = await desk.peer.hear("ASSOCIATED")
    assert asked.fields["ASSOCIATION_KEY"] == "ccarchiver_association"
    desk.peer.acknowledge(asked, ASSOCIATION_KEY="f99_association")

    reply = await reply_to(desk, 2)

    assert (reply.reply, reply.presence_key) == (Reply.ASSOCIATED, "f99_association")


async def test_a_forwarder_that_does_not_answer_associated_is_asked_twice_and_reported(hasty_desk: Desk) -> None:
    await ask(hasty_desk, 2)

    reply = await reply_to(hasty_desk, 2)

    twice_the_same(hasty_desk, "ASSOCIATED")
    assert reply.reply is Reply.SILENT


async def test_a_listed_forwarder_that_is_not_there_is_reported_at_once_and_its_queue_emptied(desk: Desk) -> None:
    desk.peer.stop_listening(FORWARDER)
    desk.peer.say_raw(FORWARDER, b"an order for the dead one")
    await desk.peer.until(lambda: desk.peer.messages_in(FORWARDER) == 1, "the old order")

    await ask(desk, 2)

    assert (await reply_to(desk, 2)).reply is Reply.NO_CONSUMER
    assert desk.peer.messages_in(FORWARDER) == 0
