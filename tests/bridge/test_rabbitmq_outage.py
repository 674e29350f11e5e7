"""RabbitMQ does not answer: the limit after which the bridge reports a failed session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.session import ForwarderLoss
from ccarchiver_core.domain.worker_messages import SessionFailed
from ccarchiver_core.keys import Worker
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.bridge.harness import BridgeHarness, bridge_at_work
from tests.core.redis_helpers import eventually

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

NEVER_S = 10_000.0
"""Longer than any test run, so a fault has another cause than this limit."""


async def fault_of(harness: BridgeHarness) -> SessionFailed:
    [fault] = await eventually(
        lambda: harness.messages_to(Worker.SAL, SessionFailed), "SessionFailed"
    )
    return fault


def outage_s(fault: SessionFailed) -> int:
    found = re.search(r"no messages to RabbitMQ for (\d+) s", fault.report)
    assert found, fault.report
    return int(found[1])


async def test_new_session_fails_after_connect_timeout_without_rabbitmq(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limits: dict[str, Any] = {"CONNECT_TIMEOUT": scaled(0.3), "BROKER_OUTAGE_LIMIT": NEVER_S}
    no_broker = f"{LOOPBACK}:{free_port()}/%2f"
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, BASE_BROKER_ADDR=no_broker, **limits
    ) as harness:
        await harness.search()

        assert (await fault_of(harness)).code == ErrorCode.NO_RABBITMQ


async def test_bridge_restarted_during_a_replacement_waits_for_broker_outage_limit(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limit_s = scaled(2)
    limits: dict[str, Any] = {"CONNECT_TIMEOUT": 0.1, "BROKER_OUTAGE_LIMIT": limit_s}
    no_broker = f"{LOOPBACK}:{free_port()}/%2f"
    loss = ForwarderLoss(
        code=ErrorCode.FORWARDER_GONE,
        report="its key has expired",
        queue="f99_consume",
        exclude_from_search=False,
    )
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, started=False, BASE_BROKER_ADDR=no_broker, **limits
    ) as harness:
        await harness.search(epoch=2, loss=loss)
        await harness.start()

        fault = await fault_of(harness)

    assert fault.code == ErrorCode.NO_RABBITMQ
    assert outage_s(fault) >= int(limit_s)
