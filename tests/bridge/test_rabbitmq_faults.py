"""Faults of RabbitMQ in which the connection stays open, each with a real RabbitMQ."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ccarchiver_bridge import consumer
from ccarchiver_core import keys
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.file_status import FileStatus
from ccarchiver_core.domain.worker_messages import SessionFailed
from ccarchiver_core.keys import Worker
from ccarchiver_sim.pace import scaled
from tests.bridge.harness import bridge_at_work, end_of, forwarder, start_of
from tests.bridge.peer import FORWARDER, TELEMETRY, on_the_wire
from tests.core.redis_helpers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from tests.bridge.harness import BridgeHarness


@contextmanager
def low_memory(rabbit: PrivateRabbit) -> Iterator[None]:
    """Make RabbitMQ raise its memory alarm for the duration of a block."""
    rabbit.raise_memory_alarm()
    try:
        yield
    finally:
        rabbit.end_memory_alarm()


@contextmanager
def rejecting(rabbit: PrivateRabbit, vhost: str, queue: str) -> Iterator[None]:
    """Let a queue reject messages for the duration of a block."""
    rabbit.reject_messages(vhost, queue)
    try:
        yield
    finally:
        rabbit.accept_messages(vhost)


async def degraded(harness: BridgeHarness, *parts: str) -> str:
    """Wait until the bridge reports a problem with all these parts."""

    def reason() -> str:
        assert harness.context is not None
        text = harness.context.heartbeat.degraded_reason
        return text if all(part in text for part in parts) else ""

    async def reported() -> str:
        return reason()

    return await eventually(reported, f"a problem with {parts}")


async def recovered(harness: BridgeHarness) -> None:
    """Wait until the bridge reports no problem."""

    async def well() -> bool:
        assert harness.context is not None
        return not harness.context.heartbeat.degraded_reason

    await eventually(well, "no problem any more")


async def connections(harness: BridgeHarness) -> int:
    """Return how often the bridge has connected to RabbitMQ."""
    return int(await harness.redis.hget(keys.COUNTERS, "rabbitmq_connections") or 0)


async def fault_of(harness: BridgeHarness) -> SessionFailed:
    [fault] = await eventually(
        lambda: harness.messages_to(Worker.SAL, SessionFailed), "SessionFailed"
    )
    return fault


async def consumed(harness: BridgeHarness, queue: str) -> None:
    """Wait until a queue has a consumer."""
    await harness.peer.wait_until(
        lambda: harness.peer.consumers_of(queue) > 0, f"a consumer of {queue}"
    )


async def status_passes(harness: BridgeHarness, image: str) -> None:
    """Send a status and wait until the bridge has passed it to the CSC."""
    await consumed(harness, TELEMETRY)
    harness.peer.send(
        TELEMETRY,
        MSG_TYPE="IMAGE_RETRIEVAL_FOR_ARCHIVING",
        OBSID=image,
        FILENAME=f"{image}.fits",
        STATUS_CODE=0,
        DESCRIPTION="ok",
        RAFT="22",
        SENSOR="S00",
    )

    async def passed() -> bool:
        found = await harness.messages_to(Worker.SAL, FileStatus)
        return any(status.filename == f"{image}.fits" for status in found)

    await eventually(passed, f"the status of {image}")


async def test_deleted_queue_is_declared_and_consumed_again(harness: BridgeHarness) -> None:
    await status_passes(harness, "before")
    before = await connections(harness)

    harness.peer.channel.queue_delete(TELEMETRY)
    await status_passes(harness, "after")
    await recovered(harness)
    assert await connections(harness) == before, "the connection was given up"


async def test_queue_without_consumer_is_found_without_a_notification(
    harness: BridgeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "CHECK_INTERVAL_S", 0.1)
    await harness.stop()
    await harness.start()
    await status_passes(harness, "before")

    harness.cancel_consumers()

    await status_passes(harness, "after")


async def test_second_consumer_of_a_queue_is_reported_until_it_ends(
    harness: BridgeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "CHECK_INTERVAL_S", 0.1)
    await harness.stop()
    await harness.start()
    await consumed(harness, TELEMETRY)

    harness.peer.listen(TELEMETRY)
    await degraded(harness, TELEMETRY, "2 consumers", "rabbitmqctl list_consumers")

    harness.peer.stop_listening(TELEMETRY)
    await recovered(harness)


async def test_queue_that_cannot_be_declared_again_is_named_until_it_is_consumed(
    harness: BridgeHarness,
) -> None:
    await status_passes(harness, "before")
    harness.peer.replace(TELEMETRY, {"x-message-ttl": 100_000})

    await degraded(harness, TELEMETRY, "PRECONDITION_FAILED", "rabbitmqctl delete_queue")

    harness.peer.channel.queue_delete(TELEMETRY)
    await recovered(harness)
    await status_passes(harness, "after")


async def test_blocked_rabbitmq_is_reported_and_work_continues_on_the_same_connection(
    harness: BridgeHarness, rabbit_server: PrivateRabbit
) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS", "i")
    before = await connections(harness)

    with low_memory(rabbit_server):
        await harness.accept("i", end_of("i"))
        reason = await degraded(harness, "low on memory", "rabbitmq-diagnostics alarms")
        assert rabbit_server.address in reason or str(rabbit_server.port) in reason
        assert "CC_FWDR_END_READOUT" not in harness.kinds("i")

    await harness.peer.receive("CC_FWDR_END_READOUT", "i")
    await recovered(harness)
    assert await connections(harness) == before, "the connection was given up"
    assert await harness.messages_to(Worker.SAL, SessionFailed) == []


async def test_blocked_rabbitmq_fails_the_session_after_broker_outage_limit(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, BROKER_OUTAGE_LIMIT=scaled(1)
    ) as harness:
        await harness.pair()
        await harness.connected()
        with low_memory(rabbit_server):
            await harness.accept("i", start_of("i"))
            fault = await fault_of(harness)

    assert fault.code == ErrorCode.NO_RABBITMQ
    assert "low on memory" in fault.report
    assert "rabbitmq-diagnostics alarms" in fault.report


async def test_rejected_instruction_is_sent_when_its_queue_accepts_it(
    harness: BridgeHarness, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS", "i")
    harness.peer.stop_listening(FORWARDER)
    with rejecting(rabbit_server, fresh_vhost, FORWARDER):
        await harness.accept("i", end_of("i"))
        await degraded(harness, FORWARDER, "basic.nack", "rabbitmqctl list_queues")

    async with on_the_wire(rabbit_server, fresh_vhost, FORWARDER) as other:
        await other.receive("CC_FWDR_END_READOUT", "i")
    await recovered(harness)


async def test_rejecting_queue_of_a_replaced_forwarder_is_no_problem_any_more(
    harness: BridgeHarness, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS", "i")
    harness.peer.stop_listening(FORWARDER)
    with rejecting(rabbit_server, fresh_vhost, FORWARDER):
        await harness.accept("i", end_of("i"))
        await degraded(harness, FORWARDER, "basic.nack")
        harness.peer.listen("f98_consume")

        await harness.pair(forwarder("f98"), epoch=2)

        await harness.peer.receive("CC_FWDR_END_READOUT", "i")
        await recovered(harness)


async def test_queue_with_other_properties_fails_the_start_with_its_name_and_the_remedy(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, CONNECT_TIMEOUT=scaled(3)
    ) as harness:
        harness.peer.channel.queue_declare(
            TELEMETRY, durable=True, arguments={"x-message-ttl": 100_000}
        )
        await harness.search()
        fault = await fault_of(harness)

    assert fault.code == ErrorCode.NO_RABBITMQ
    for part in (TELEMETRY, "PRECONDITION_FAILED", "x-message-ttl", "rabbitmqctl delete_queue"):
        assert part in fault.report
