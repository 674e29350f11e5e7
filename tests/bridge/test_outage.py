"""RabbitMQ does not answer: which limit counts before the bridge reports a fault."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ccarchiver_core.error_codes import ErrorCode
from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import SessionFault
from ccarchiver_core.session import Loss
from ccarchiver_sim.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.pace import scaled
from tests.bridge.desk import Desk, bridge_at_work
from tests.core.place import eventually

if TYPE_CHECKING:
    from ccarchiver_sim.brokers import PrivateRabbit, PrivateRedis

NEVER_S = 10_000.0
"""Longer than any test run: a fault that comes at all was not due to this limit."""


async def fault_of(desk: Desk) -> SessionFault:
    [fault] = await eventually(lambda: desk.told(Worker.SAL, SessionFault), "SessionFault")
    return fault


def outage_s(fault: SessionFault) -> int:
    found = re.search(r"no connection to RabbitMQ for (\d+) s", fault.report)
    assert found, fault.report
    return int(found[1])


async def test_a_new_session_waits_for_rabbitmq_for_connect_timeout(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limits: dict[str, Any] = {"CONNECT_TIMEOUT": scaled(0.3), "BROKER_AWAY_LIMIT": NEVER_S}
    nothing = f"{LOOPBACK}:{free_port()}/%2f"
    async with bridge_at_work(fresh_redis, rabbit_server, fresh_vhost, BASE_BROKER_ADDR=nothing, **limits) as desk:
        await desk.search()

        assert (await fault_of(desk)).code == ErrorCode.NO_RABBITMQ


async def test_a_bridge_restarted_while_a_lost_forwarder_is_replaced_waits_for_broker_away_limit(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limit_s = scaled(2)
    limits: dict[str, Any] = {"CONNECT_TIMEOUT": 0.1, "BROKER_AWAY_LIMIT": limit_s}
    nothing = f"{LOOPBACK}:{free_port()}/%2f"
    loss = Loss(code=ErrorCode.FORWARDER_GONE, report="its key is gone", queue="f99_consume", mute=False)
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, started=False, BASE_BROKER_ADDR=nothing, **limits
    ) as desk:
        await desk.search(epoch=2, loss=loss)
        await desk.start()

        fault = await fault_of(desk)

    assert fault.code == ErrorCode.NO_RABBITMQ
    assert outage_s(fault) >= int(limit_s)
