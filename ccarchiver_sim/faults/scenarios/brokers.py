"""Scenarios in which Redis or RabbitMQ is stopped, killed, frozen, or short of memory."""

import asyncio
import signal
from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.faults.scenarios.kills import BACK_LIMIT_S
from ccarchiver_sim.faults.services import Service
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling
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

BACKLOG_S = 2.0
"""Seconds for which the CSC is suspended before, so that it publishes many statuses at once."""
LONGEST_RUN_S = 0.1
"""Longest time for which it then publishes; it needs about this long for the backlog."""
IN_FLIGHT_S = 0.1
"""Seconds between the suspension of Redis and the kills, in which records in flight collect."""


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


class RedisAndSalKilled(Scenario):
    """Redis and the CSC are killed while records of published events are in flight."""

    name = "redis-and-sal-killed"
    about = "Redis and the CSC are killed together while records are in flight, for 1 and 5 s"
    outages: tuple[float, ...] = (1.0, 5.0)
    parts = frozenset({Part.REDIS, Part.SAL})
    removes = REMOVES["redis"]

    def __init__(self) -> None:
        super().__init__()
        self._pid: int | None = None
        self._rounds = 0

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        self._rounds += 1
        self._pid = testbed.signal_worker("sal", signal.SIGSTOP)
        await asyncio.sleep(scaled(BACKLOG_S))
        testbed.signal_worker("sal", signal.SIGCONT)
        await asyncio.sleep(scaled(testbed.random.uniform(0.0, LONGEST_RUN_S)))
        testbed.rig.redis.freeze()
        await asyncio.sleep(scaled(IN_FLIGHT_S))
        testbed.signal_worker("sal", signal.SIGKILL)
        testbed.rig.redis.kill()

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        await testbed.rig.start_broker(testbed.rig.redis)
        await polling.wait_for(
            lambda: testbed.worker_pid("sal") not in {None, self._pid},
            BACK_LIMIT_S,
            "a new process of sal",
        )

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        testbed.observe()
        repeated = sum(trace.duplicates for trace in testbed.oracle.of(testbed.oracle.run))
        self.expect(
            condition=repeated <= self._rounds,
            otherwise=f"{repeated} events were repeated; at most one for each of the "
            f"{self._rounds} deaths is permitted",
        )


SCENARIOS = [
    *(partial(BrokerOutage, broker, how) for broker in ("redis", "rabbitmq") for how in ABOUT),
    RabbitBlocked,
    RedisAndSalKilled,
]
