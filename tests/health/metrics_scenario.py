"""Part of a night in which every metric gets a value from the code that really writes it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import saved_state
from ccarchiver_sal.adapter import State
from ccarchiver_sal.status_publisher import StatusPublisher
from ccarchiver_sim.pace import scaled
from tests.bridge.harness import bridge_at_work, end_of, forwarder, header_of, start_of
from tests.core.redis_helpers import end, enqueue, eventually, holding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from tests.bridge.harness import BridgeHarness

SENSORS = tuple(f"S{board}{ccd}" for board in range(3) for ccd in range(3))
PRESENCE_S = 600
"""Lifetime of a Forwarder's presence key: longer than any test."""


class _Sal:
    """Receives the events instead of SAL."""

    async def put_event(self, topic: str, values: dict[str, str | int]) -> None:
        """Ignore an event."""


class MetricsScenario:
    """A running bridge, an ENABLED CSC and a health worker; create it with `running_scenario`."""

    def __init__(self, harness: BridgeHarness) -> None:
        self.harness = harness
        self._heartbeats: dict[Worker, asyncio.Task[None]] = {}

    async def publish_heartbeat(self, context: WorkerContext) -> None:
        """Publish a worker's heartbeat."""
        worker = context.worker
        self._heartbeats[worker] = asyncio.create_task(context.heartbeat.publish())

        async def alive() -> bool:
            # A bridge is degraded until it has its connection.
            heartbeat = await read_heartbeat(self.harness.redis, worker)
            return heartbeat is not None and not heartbeat.degraded_reason

        await eventually(alive, f"the heartbeat of {worker}")

    async def delete_heartbeat(self, worker: Worker) -> None:
        """Delete a worker's heartbeat."""
        heartbeat = self._heartbeats.pop(worker, None)
        if heartbeat is not None:
            await end(heartbeat)
        await self.harness.redis.delete(worker.alive)

    async def restart_bridge(self) -> None:
        """Stop the bridge and start it as a new process."""
        await self.delete_heartbeat(Worker.BRIDGE)
        await self.harness.stop()
        await self.harness.start()
        assert self.harness.context is not None
        await self.publish_heartbeat(self.harness.context)

    async def write_state(self, state: State, code: int = 0, report: str = "") -> None:
        """Write the CSC's state as the CSC does."""
        transaction = Transaction()
        saved_state.write_state(transaction, saved_state.SavedState(state, code, report))
        await self.harness.sal.transactions.apply(transaction)

    async def instruct(self, image: str) -> None:
        """Process an image until the Forwarder has acknowledged all instructions."""
        await self.harness.accept(image, start_of(image))
        await self.harness.controller_answers(image)
        await self.harness.accept(image, end_of(image), header_of(image))
        for kind in ("CC_FWDR_XFER_PARAMS", "CC_FWDR_END_READOUT", "CC_FWDR_HEADER_READY"):
            self.harness.peer.acknowledge(await self.harness.peer.receive(kind, image))

        async def answered() -> bool:
            record = await self.harness.record(image)
            return all(
                '"acked":true' in record.get(order, "") for order in ("end_readout", "header_ready")
            )

        await eventually(answered, f"all acknowledgements of {image}")

    async def report(
        self, image: str, topic: StatusTopic, *, code: int = 0, twice: bool = False
    ) -> None:
        """Publish a status of each CCD of an image on SAL."""
        reports = StatusPublisher(self.harness.sal, _Sal())  # type: ignore[arg-type]  # only this method of the CSC is used
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
                [entry] = await enqueue(self.harness.redis, Worker.SAL, status)
                await reports.publish(status, entry)

    async def complete(self, image: str) -> None:
        """Process an image until it is complete."""
        await self.instruct(image)
        await self.report(image, StatusTopic.RETRIEVAL)
        await self.report(image, StatusTopic.IN_OODS)


@asynccontextmanager
async def running_scenario(
    redis: PrivateRedis, rabbit: PrivateRabbit, vhost: str
) -> AsyncIterator[MetricsScenario]:
    """Run an archiver for the duration of a block: paired, with heartbeats of all workers."""
    async with bridge_at_work(redis, rabbit, vhost, ACK_TIMEOUT=scaled(30)) as harness:
        await harness.pair(forwarder().model_copy(update={"since": unix_time()}))
        await harness.redis.set(forwarder().presence_key, "pong", ex=PRESENCE_S)
        async with holding(Worker.HEALTH, harness.settings) as health:
            scenario = MetricsScenario(harness)
            try:
                for context in (harness.sal, harness.context, health):
                    assert context is not None
                    await scenario.publish_heartbeat(context)
                await scenario.write_state(State.ENABLED)
                yield scenario
            finally:
                for worker in Worker:
                    await scenario.delete_heartbeat(worker)
