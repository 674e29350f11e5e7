"""Scenarios in which Redis or RabbitMQ is stopped, killed, frozen, or short of memory."""

import asyncio
from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.faults.services import Service
from ccarchiver_sim.testbed.brokers.server import PrivateServer

STOPPED, KILLED, FROZEN = "stopped", "killed", "frozen"
ABOUT = {
    STOPPED: "is stopped cleanly",
    KILLED: "is killed and loses the data that it had not written",
    FROZEN: "hangs: its connections stay open, but it answers no request",
}

PARTS = {"redis": Part.REDIS, "rabbitmq": Part.RABBITMQ}
REMOVES = {
    "redis": frozenset({Service.REDIS, Service.REDIS_WRITES}),
    "rabbitmq": frozenset({Service.RABBITMQ}),
}


class BrokerOutage(Scenario):
    """One broker, unavailable for one reason.

    Parameters
    ----------
    broker
        ``redis`` or ``rabbitmq``.
    how
        Reason: ``stopped``, ``killed`` or ``frozen``.
    """

    outages: tuple[float, ...] = OUTAGES_S

    def __init__(self, broker: str, how: str) -> None:
        super().__init__()
        self._broker = broker
        self._how = how
        self.name = f"{broker}-{how}"
        self.about = f"{broker} {ABOUT[how]}, for 1, 5, 30 (and 120) s"
        self.parts = frozenset({PARTS[broker]})
        self.removes = REMOVES[broker]

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        server = self._server(testbed)
        match self._how:
            case "stopped":
                await testbed.rig.stop_broker(server)
            case "killed":
                server.kill()
            case _:
                server.freeze()

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        server = self._server(testbed)
        if self._how == FROZEN:
            server.thaw()
        else:
            await testbed.rig.start_broker(server)

    def _server(self, testbed: FaultTestbed) -> PrivateServer:
        return testbed.rig.redis if self._broker == "redis" else testbed.rig.rabbit


class RabbitBlocked(Scenario):
    """RabbitMQ lacks memory: it reads nothing from connections that publish, but they stay open."""

    name = "rabbitmq-blocked"
    about = "rabbitmq lacks memory and accepts no messages, for 1, 5, 30 (and 120) s"
    outages: tuple[float, ...] = OUTAGES_S
    parts = frozenset({Part.RABBITMQ})
    removes = REMOVES["rabbitmq"]

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        await asyncio.to_thread(testbed.rig.rabbit.raise_memory_alarm)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        await asyncio.to_thread(testbed.rig.rabbit.end_memory_alarm)


SCENARIOS = [
    *(partial(BrokerOutage, broker, how) for broker in ("redis", "rabbitmq") for how in ABOUT),
    RabbitBlocked,
]
