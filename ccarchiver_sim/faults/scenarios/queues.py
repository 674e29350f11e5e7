"""Scenarios in which single queues of RabbitMQ fail while its connections stay open."""

import asyncio

from typing_extensions import override

from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.faults.scenarios.forwarders import paired
from ccarchiver_sim.faults.services import Service
from ccarchiver_sim.testbed import polling

RABBITMQ = frozenset({Service.RABBITMQ})
REPORT_LIMIT_S = 20.0
"""Limit for the bridge to report a problem: it does so with the next instruction, and its heartbeat
is written every second."""


class RabbitRejects(Scenario):
    """The paired Forwarder's queue is full by a policy: RabbitMQ rejects each instruction."""

    name = "rabbitmq-rejects"
    about = (
        "the paired Forwarder's queue rejects messages (reject-publish), for 1, 5, 30 (and 120) s"
    )
    outages: tuple[float, ...] = OUTAGES_S
    inject_needs = RABBITMQ
    heal_needs = RABBITMQ

    @override
    async def aim(self, testbed: FaultTestbed) -> None:
        self._queue = f"{(await paired(testbed)).name}_consume"

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        rig = testbed.rig
        await asyncio.to_thread(rig.rabbit.reject_messages, rig.vhost, self._queue)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        if self.is_alone:
            await self._expect_report(testbed)
        rig = testbed.rig
        await asyncio.to_thread(rig.rabbit.accept_messages, rig.vhost)

    async def _expect_report(self, testbed: FaultTestbed) -> None:
        """Expect that the bridge names the queue for as long as it rejects messages."""

        async def is_reported() -> bool:
            async with testbed.redis() as client:
                heartbeat = await read_heartbeat(client, Worker.BRIDGE)
            return heartbeat is not None and self._queue in heartbeat.degraded_reason

        try:
            await polling.wait_for_async(is_reported, REPORT_LIMIT_S, "the bridge's report")
        except polling.WaitError:
            self.failures.append(f"the bridge did not report that {self._queue} rejects messages")


SCENARIOS = [RabbitRejects]
