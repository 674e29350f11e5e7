"""RabbitMQ does not answer: which limit counts before the bridge reports a fault."""

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
"""Longer than any test run: a fault that comes at all was not due to this limit."""


async def fault_of(harness: BridgeHarness) -> SessionFailed:
    [fault] = await eventually(lambda: harness.told(Worker.SAL, SessionFailed), "SessionFault")
    return fault


def outage_s(fault: SessionFailed) -> int:
    found = re.search(r"no connection to RabbitMQ for (\d+) s", fault.report)
    assert found, fault.report
    return int(found[1])


async def test_a_new_session_waits_for_rabbitmq_for_connect_timeout(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limits: dict[str, Any] = {"CONNECT_TIMEOUT": scaled(0.3), "BROKER_OUTAGE_LIMIT": NEVER_S}
    nothing = f"{LOOPBACK}:{free_port()}/%2f"
    async with bridge_at_work(fresh_redis, rabbit_server, fresh_vhost, BASE_BROKER_ADDR=nothing, **limits) as harness:
        await harness.search()

        assert (await fault_of(harness)).code == ErrorCode.NO_RABBITMQ


async def test_a_bridge_restarted_while_a_lost_forwarder_is_replaced_waits_for_broker_away_limit(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limit_s = scaled(2)
    limits: dict[str, Any] = {"CONNECT_TIMEOUT": 0.1, "BROKER_OUTAGE_LIMIT": limit_s}
    nothing = f"{LOOPBACK}:{free_port()}/%2f"
    loss = ForwarderLoss(
        code=ErrorCode.FORWARDER_GONE, report="its key is gone", queue="f99_consume", exclude_from_search=False
    )
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, started=False, BASE_BROKER_ADDR=nothing, **limits
    ) as harness:
        await harness.search(epoch=2, loss=loss)
        await harness.start()

        fault = await fault_of(harness)

    assert fault.code == ErrorCode.NO_RABBITMQ
    assert outage_s(fault) >= int(limit_s)
