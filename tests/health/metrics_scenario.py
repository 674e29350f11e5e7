"""Some of a night, so that every metric has something to show: each record is written by the code that writes it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import saved_state
from ccarchiver_sal.adapter import State
from ccarchiver_sal.status_publisher import StatusPublisher
from ccarchiver_sim.pace import scaled
from tests.bridge.harness import bridge_at_work, end_of, forwarder, header_of, start_of
from tests.core.redis_helpers import end, eventually, holding, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from tests.bridge.harness import BridgeHarness

SENSORS = tuple(f"S{board}{ccd}" for board in range(3) for ccd in range(3))
PRESENCE_S = 600
"""A Forwarder's key that outlives any test."""


class _Sal:
    """Takes the events in place of SAL."""

    def put_event(self, topic: str, values: dict[str, str | int]) -> None:
        """Take one."""


class MetricsScenario:
    """A bridge at work, a CSC that is ENABLED and a health worker; make it with `shift_at_work`."""

    def __init__(self, harness: BridgeHarness) -> None:
        self.harness = harness
        self._hearts: dict[Worker, asyncio.Task[None]] = {}

    async def beat(self, context: WorkerContext) -> None:
        """Have a worker show life."""
        worker = context.worker
        self._hearts[worker] = asyncio.create_task(context.heartbeat.publish())

        async def alive() -> bool:
            heartbeat = await read_heartbeat(self.harness.redis, worker)
            return (
                heartbeat is not None and not heartbeat.degraded_reason
            )  # a bridge is in trouble until it has its connection

        await eventually(alive, f"the vital signs of {worker}")

    async def fall_silent(self, worker: Worker) -> None:
        """Have a worker show no life any more."""
        heartbeat = self._hearts.pop(worker, None)
        if heartbeat is not None:
            await end(heartbeat)
        await self.harness.redis.delete(worker.alive)

    async def restart_bridge(self) -> None:
        """End the bridge and start it as another process would be."""
        await self.fall_silent(Worker.BRIDGE)
        await self.harness.stop()
        await self.harness.start()
        assert self.harness.context is not None
        await self.beat(self.harness.context)

    async def say_state(self, state: State, code: int = 0, report: str = "") -> None:
        """Have the CSC write its state."""
        transaction = Transaction()
        saved_state.write_state(transaction, saved_state.SavedState(state, code, report))
        await self.harness.sal.transactions.apply(transaction)

    async def order(self, image: str) -> None:
        """Have an image go its way until the Forwarder has been told all and has answered."""
        await self.harness.accept(image, start_of(image))
        await self.harness.controller_answers(image)
        await self.harness.accept(image, end_of(image), header_of(image))
        for kind in ("CC_FWDR_XFER_PARAMS", "CC_FWDR_END_READOUT", "CC_FWDR_HEADER_READY"):
            self.harness.peer.acknowledge(await self.harness.peer.hear(kind, image))

        async def answered() -> bool:
            record = await self.harness.record(image)
            return all('"acked":true' in record.get(order, "") for order in ("end_readout", "header_ready"))

        await eventually(answered, f"all answers of {image}")

    async def report(self, image: str, topic: StatusTopic, *, code: int = 0, twice: bool = False) -> None:
        """Have a status of each CCD of an image reported on SAL."""
        reports = StatusPublisher(self.harness.sal, _Sal())  # type: ignore[arg-type]  # all that is used of the CSC
        for sensor in SENSORS:
            status = FileStatus(
                topic=topic,
                camera="COMCAM",
                archiver="CCArchiver",
                obsid=image,
                raft="22",
                sensor=sensor,
                filename=f"{image}-{sensor}.fits",
                status_code=code,
                description="",
            )
            for _ in range(2 if twice else 1):
                [entry] = await post(self.harness.redis, Worker.SAL, status)
                await reports.publish(status, entry)

    async def complete(self, image: str) -> None:
        """Have an image go all its way."""
        await self.order(image)
        await self.report(image, StatusTopic.RETRIEVAL)
        await self.report(image, StatusTopic.IN_OODS)


@asynccontextmanager
async def shift_at_work(redis: PrivateRedis, rabbit: PrivateRabbit, vhost: str) -> AsyncIterator[MetricsScenario]:
    """Have an archiver at work for the time of a block, paired, with the vital signs of all workers."""
    async with bridge_at_work(redis, rabbit, vhost, ACK_TIMEOUT=scaled(30)) as harness:
        await harness.pair(forwarder().model_copy(update={"since": unix_time()}))
        await harness.redis.set(forwarder().presence_key, "pong", ex=PRESENCE_S)
        async with holding(Worker.HEALTH, harness.settings) as health:
            scenario = MetricsScenario(harness)
            try:
                for context in (harness.sal, harness.context, health):
                    assert context is not None
                    await scenario.beat(context)
                await scenario.say_state(State.ENABLED)
                yield scenario
            finally:
                for worker in Worker:
                    await scenario.fall_silent(worker)
