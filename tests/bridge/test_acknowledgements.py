"""Missing, unexpected and unusable acknowledgements; health checks; associations."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.instruction_limits import MAX_SENDS
from ccarchiver_core.domain.worker_messages import (
    AssociateForwarder,
    AssociationOutcome,
    AssociationResult,
    ReplaceForwarder,
    SessionFailed,
)
from ccarchiver_core.keys import Worker
from ccarchiver_sim.pace import scaled
from tests.bridge.harness import (
    SESSION,
    TARGET,
    BridgeHarness,
    bridge_at_work,
    end_of,
    header_of,
    start_of,
)
from tests.bridge.peer import ACKS, CONTROLLER, FORWARDER, WireMessage
from tests.core.redis_helpers import counter, enqueue, eventually, read_dead_letters

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis


async def fault_of(harness: BridgeHarness) -> SessionFailed:
    async def messages() -> list[SessionFailed]:
        harness.peer.poll()
        return await harness.messages_to(Worker.SAL, SessionFailed)

    [fault] = await eventually(messages, "SessionFailed")
    return fault


async def replacement_of(harness: BridgeHarness) -> ReplaceForwarder:
    async def messages() -> list[ReplaceForwarder]:
        harness.peer.poll()
        return await harness.messages_to(Worker.HEALTH, ReplaceForwarder)

    [replacement] = await eventually(messages, "ReplaceForwarder")
    return replacement


def twice_the_same(harness: BridgeHarness, kind: str) -> WireMessage:
    first, second = [message for message in harness.peer.received if message.kind == kind]
    assert first.body == second.body, "a message that is sent again has the same bytes and ACK_ID"
    return first


async def test_silent_controller_gets_a_resend_and_then_fails_the_session(
    impatient_harness: BridgeHarness,
) -> None:
    await impatient_harness.accept("i", start_of("i"))

    fault = await fault_of(impatient_harness)

    instruction = twice_the_same(impatient_harness, "NEW_CC_ARCHIVE_ITEM")
    assert (fault.session_id, fault.code) == (SESSION, 5752)
    assert "archive_ctrl_consume" in fault.report
    assert "image i" in fault.report
    # A late ack still counts: the image continues.
    impatient_harness.peer.acknowledge(instruction, TARGET_DIR=TARGET, ACK_BOOL="TRUE")
    await impatient_harness.peer.receive("CC_FWDR_XFER_PARAMS", "i")


async def test_image_waits_for_a_controller_that_returns_within_its_health_checks(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limits: dict[str, Any] = {"ACK_TIMEOUT": scaled(0.2), "CONTROLLER_MAX_MISSED_CHECKS": 1000}
    async with bridge_at_work(fresh_redis, rabbit_server, fresh_vhost, **limits) as harness:
        await harness.pair()
        await harness.connected()
        harness.peer.stop_listening(CONTROLLER)
        await harness.accept("i", start_of("i"))
        # An instruction that is sent MAX_SENDS times and not answered is a fault if the Controller
        # answers its health checks.
        await eventually(lambda: missed_checks(harness, MAX_SENDS + 3), "missed health checks")

        harness.peer.listen(CONTROLLER)
        await harness.controller_answers("i")
        await harness.peer.receive("CC_FWDR_XFER_PARAMS", "i")

        assert await harness.messages_to(Worker.SAL, SessionFailed) == []


async def test_fault_of_a_controller_that_does_not_consume_says_so(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limits: dict[str, Any] = {"ACK_TIMEOUT": scaled(0.2)}
    async with bridge_at_work(fresh_redis, rabbit_server, fresh_vhost, **limits) as harness:
        await harness.pair()
        await harness.connected()
        harness.peer.stop_listening(CONTROLLER)

        fault = await fault_of(harness)

    assert fault.code == 5751
    assert "its queue has no consumer: start the Controller, or restart it" in fault.report


async def missed_checks(harness: BridgeHarness, count: int) -> bool:
    """Return whether the Controller has missed so many health checks."""
    return harness.missed_health_checks >= count


@pytest.mark.parametrize(
    ("silent_about", "code"),
    [("CC_FWDR_XFER_PARAMS", 5752), ("CC_FWDR_END_READOUT", 5753), ("CC_FWDR_HEADER_READY", 5754)],
)
async def test_silent_forwarder_gets_a_resend_and_then_its_replacement_is_requested(
    impatient_harness: BridgeHarness, silent_about: str, code: int
) -> None:
    await impatient_harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await impatient_harness.controller_answers("i")
    await impatient_harness.peer.receive("CC_FWDR_HEADER_READY")
    for message in impatient_harness.peer.received[1:4]:
        if message.kind != silent_about:
            impatient_harness.peer.acknowledge(message)

    replacement = await replacement_of(impatient_harness)

    twice_the_same(impatient_harness, silent_about)
    assert (replacement.code, replacement.epoch, replacement.session_id) == (code, 1, SESSION)
    assert await impatient_harness.messages_to(Worker.SAL, SessionFailed) == [], (
        "health decides about the session"
    )


async def test_peers_that_acknowledge_get_each_message_once(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_HEADER_READY")
    for message in harness.peer.received[1:4]:
        harness.peer.acknowledge(message)

    async def none_is_pending() -> bool:
        return await harness.redis.hlen("ccarchiver:pending_acks") == 0

    # Only a message with a pending ack is sent again.
    await eventually(none_is_pending, "all acks to be handled")
    harness.peer.poll()
    assert len(harness.peer.received) == 4


async def test_unexpected_acks_are_counted_and_change_nothing(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    instruction = await harness.controller_answers("i")
    params = await harness.peer.receive("CC_FWDR_XFER_PARAMS")
    before = await harness.record("i")
    harness.peer.acknowledge(instruction, TARGET_DIR="/somewhere/else/", ACK_BOOL="TRUE")
    harness.peer.send(
        ACKS,
        MSG_TYPE="NEW_CC_ARCHIVE_ITEM_ACK",
        ACK_ID="2020-01-01_00:00:00.000000_1",
        TARGET_DIR="/old/",
    )
    harness.peer.send(ACKS, MSG_TYPE="CC_FWDR_END_READOUT_ACK", ACK_ID="made up", IMAGE_ID="i")
    harness.peer.send(ACKS, MSG_TYPE="ASSOCIATED_ACK", ACK_ID="made up", ASSOCIATION_KEY="k")
    harness.peer.acknowledge(params)
    harness.peer.acknowledge(params)

    async def ignored() -> bool:
        return await counter(harness.redis, "unexpected_acks") == 5

    await eventually(ignored, "five acks ignored")
    after = await harness.record("i")
    assert after["target_dir"] == before["target_dir"] == TARGET
    assert "end_readout" not in after
    assert await harness.all_messages_to(Worker.SAL) == []
    assert await read_dead_letters(harness.redis) == []


async def test_ack_of_the_wrong_type_is_dead_lettered_and_the_message_stays_pending(
    harness: BridgeHarness,
) -> None:
    await harness.accept("i", start_of("i"))
    instruction = await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
    harness.peer.send(
        ACKS, MSG_TYPE="CC_FWDR_XFER_PARAMS_ACK", ACK_ID=instruction.fields["ACK_ID"], IMAGE_ID="i"
    )

    [dead] = await eventually(lambda: read_dead_letters(harness.redis), "a dead letter")
    assert instruction.fields["ACK_ID"].encode() in dead["reason"]
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"TARGET_DIR": "/data/$(reboot)"}, b"TARGET_DIR"),
        ({"TARGET_DIR": "/data/../etc"}, b"TARGET_DIR"),
        ({}, b"TARGET_DIR"),
        ({"TARGET_DIR": TARGET, "ACK_BOOL": "FALSE"}, b"rejected"),
        ({"TARGET_DIR": TARGET, "IMAGE_ID": "another"}, b"another"),
    ],
)
async def test_unusable_controller_ack_fails_the_image_and_reaches_no_forwarder(
    harness: BridgeHarness, answer: dict[str, object], reason: bytes
) -> None:
    await harness.accept("i", start_of("i"), end_of("i"))
    instruction = await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
    harness.peer.acknowledge(instruction, **answer)

    fault = await fault_of(harness)

    assert fault.code == 5752
    [dead] = await read_dead_letters(harness.redis)
    assert reason in dead["reason"]
    assert dead["obsid"] == b"i"
    record = await harness.record("i")
    assert record["state"] == "failed"
    await harness.peer.poll_for(0.2)
    assert harness.kinds("i") == ["NEW_CC_ARCHIVE_ITEM"]


async def test_unanswered_health_checks_fail_the_session(impatient_harness: BridgeHarness) -> None:
    impatient_harness.peer.answers_health_checks = False

    fault = await fault_of(impatient_harness)

    assert fault.code == 5751
    assert (
        len(impatient_harness.peer.health_checks)
        == impatient_harness.settings.controller_max_missed_checks
        == 3
    )
    ack_ids = {message.fields["ACK_ID"] for message in impatient_harness.peer.health_checks}
    assert len(ack_ids) == 3
    assert {message.fields["SESSION_ID"] for message in impatient_harness.peer.health_checks} == {
        SESSION
    }


async def test_answered_health_checks_do_not_fail_the_session(
    impatient_harness: BridgeHarness,
) -> None:
    await impatient_harness.peer.wait_until(
        lambda: len(impatient_harness.peer.health_checks) >= 6, "health checks"
    )

    assert await impatient_harness.messages_to(Worker.SAL, SessionFailed) == []


F99 = ForwarderEntry(hostname="f99", ip_address="127.0.0.1", consume_queue=FORWARDER)


async def reply_to(harness: BridgeHarness, epoch: int) -> AssociationResult:
    async def messages() -> list[AssociationResult]:
        harness.peer.poll()
        return [
            reply
            for reply in await harness.messages_to(Worker.HEALTH, AssociationResult)
            if reply.epoch == epoch
        ]

    [reply] = await eventually(messages, "AssociationResult")
    return reply


async def associate(harness: BridgeHarness, epoch: int, forwarder: ForwarderEntry = F99) -> None:
    await harness.search(epoch=epoch)
    await enqueue(
        harness.redis,
        Worker.BRIDGE,
        AssociateForwarder(session_id=SESSION, epoch=epoch, forwarder=forwarder),
    )


async def test_associated_forwarder_is_reported_with_its_presence_key(
    harness: BridgeHarness,
) -> None:
    await associate(harness, 2)
    instruction = await harness.peer.receive("ASSOCIATED")
    assert instruction.fields["ASSOCIATION_KEY"] == "ccarchiver_association"
    harness.peer.acknowledge(instruction, ASSOCIATION_KEY="f99_association")

    reply = await reply_to(harness, 2)

    assert (reply.result, reply.presence_key) == (AssociationOutcome.ASSOCIATED, "f99_association")


async def test_forwarder_silent_about_associated_gets_a_resend_and_is_reported(
    impatient_harness: BridgeHarness,
) -> None:
    await associate(impatient_harness, 2)

    reply = await reply_to(impatient_harness, 2)

    twice_the_same(impatient_harness, "ASSOCIATED")
    assert reply.result is AssociationOutcome.SILENT


async def test_forwarder_without_a_consumer_is_reported_and_its_queue_is_purged(
    harness: BridgeHarness,
) -> None:
    harness.peer.stop_listening(FORWARDER)
    harness.peer.send_raw(FORWARDER, b"an instruction for the dead Forwarder")
    await harness.peer.wait_until(
        lambda: harness.peer.messages_in(FORWARDER) == 1, "the old instruction"
    )

    await associate(harness, 2)

    assert (await reply_to(harness, 2)).result is AssociationOutcome.NO_CONSUMER
    assert harness.peer.messages_in(FORWARDER) == 0


async def test_forwarder_queue_that_cannot_be_purged_is_reported_and_the_bridge_goes_on(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, tmp_path: Path
) -> None:
    vhost, queue = "/no_purge", "f98_consume"
    may = {"user": rabbit_server.user, "vhost": vhost, "configure": ".*", "write": ".*"}
    path = tmp_path / "definitions.json"
    permissions = [may | {"read": f"^(?!{queue}).*$"}]
    path.write_text(json.dumps({"vhosts": [{"name": vhost}], "permissions": permissions}))
    await asyncio.to_thread(rabbit_server.import_definitions, path)
    async with bridge_at_work(fresh_redis, rabbit_server, vhost) as harness:
        other = F99.model_copy(update={"consume_queue": queue})
        await associate(harness, 2, other)

        reply = await reply_to(harness, 2)
        assert reply.result is AssociationOutcome.NO_CONSUMER
        assert f"queue {queue} has no consumer and cannot be purged: " in reply.detail
        assert "ACCESS_REFUSED" in reply.detail

        await associate(harness, 3)
        await harness.peer.receive("ASSOCIATED")
