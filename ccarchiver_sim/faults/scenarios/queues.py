"""Scenarios in which single queues of RabbitMQ fail while its connections stay open."""

import asyncio
import shutil
import time
from functools import partial

from typing_extensions import override

from ccarchiver_core.keys import UNFINISHED, Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_sim.faults import raw_publisher
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.sal_source import TOPICS
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.faults.scenarios.forwarders import paired
from ccarchiver_sim.faults.services import Service
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED

RABBITMQ = frozenset({Service.RABBITMQ})
ACKS, RETRIEVALS, INGESTIONS, CONTROLLER = "acks", "retrievals", "ingestions", "controller"
"""The queues that the archiver consumes, by what they carry."""
STATUSES = {RETRIEVALS: RETRIEVED, INGESTIONS: INGESTED}
BURST = 4
"""Images whose events are all sent before a queue is deleted. The simulated Forwarder processes
seven a second."""
DELETIONS = 5
"""How often the queue of a status is deleted during a burst. It is missing only for milliseconds,
and each image has its statuses at once. A queue of acknowledgements is deleted once, because an
instruction is sent only twice."""
LONGEST_PAUSE_S = 0.2
"""Longest pause before a deletion, so that images are in different stages."""
CONSUMED_LIMIT_S = 20.0
"""Limit for the bridge to consume a deleted queue again: RabbitMQ notifies it at once, and without
a notification its second check, after 10 s, finds it."""
REPLAY_LIMIT_S = 90.0
"""Limit for an operator to replay the images: an image can be replayed when nothing has happened to
it for two deadlines of an ack."""
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


class QueueDeleted(Scenario):
    """A queue that the archiver consumes is deleted; the archiver must declare and consume it.

    A lost acknowledgement costs one deadline: its instruction is sent again. A status that RabbitMQ
    dropped with the queue is lost, because the deployed peers publish without confirmations. Its
    image must stay among the unfinished ones, and an operator's ``ccarchiver night --replay`` must
    complete it if a retrieval is missing. Images begun after the queue is consumed again must be
    complete without an operator.
    """

    name = "rabbitmq-queue-deleted"
    about = "each queue that the archiver consumes is deleted while its messages arrive"
    outages: tuple[float, ...] = (2.0,) * 3
    """Seconds of exposures after the queues are consumed again."""
    ends_at_once = True
    variants: tuple[str, ...] = (ACKS, RETRIEVALS, INGESTIONS, CONTROLLER)
    inject_needs = RABBITMQ

    @override
    def parts_of(self, variant: str) -> frozenset[Part]:
        # Without the bridge or its connection, the queue stays deleted for longer than this fault
        # alone would last, and the deliveries that the bridge had not recorded are lost with it.
        parts = {Part.BRIDGE, Part.RABBITMQ_LINE}
        if variant == ACKS:
            # An instruction has two attempts: one answer may be missing, but no second one.
            parts |= {Part.CONTROLLER, Part.PAIRED_FORWARDER, Part.ALL_FORWARDERS}
        return frozenset(parts)

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        for which in (self.variant,) if self.variant else self.variants:
            await self._delete(testbed, which)

    async def _delete(self, testbed: FaultTestbed, which: str) -> None:
        """Delete a queue while the messages of several images arrive."""
        burst = [testbed.sal_source.new_image() for _ in range(BURST)]
        for topic in TOPICS:
            for image in burst:
                await testbed.sal_source.put(topic, image)
        queue = queue_of(testbed, which)
        began = time.monotonic()
        for _ in range(DELETIONS if which in STATUSES else 1):
            await asyncio.sleep(testbed.random.uniform(0.0, LONGEST_PAUSE_S))
            await raw_publisher.delete_queue(testbed.rig, queue)
            try:
                await polling.wait_for_async(
                    partial(_is_consumed, testbed, queue),
                    CONSUMED_LIMIT_S,
                    f"a consumer of {queue}",
                )
            except polling.WaitError as error:
                self.failures.append(str(error))
        testbed.observe()
        if which in STATUSES:
            testbed.oracle.record_deleted_queue(STATUSES[which], began, time.monotonic())

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        oracle = testbed.oracle
        incomplete = {trace.obsid for trace in oracle.incomplete(oracle.run)}
        async with testbed.redis() as client:
            unfinished = set(await client.zrange(UNFINISHED, 0, -1))
        forgotten = sorted(incomplete - unfinished)
        self.expect(
            condition=not forgotten,
            otherwise=f"the ledger does not list as unfinished, but statuses lack: {forgotten}",
        )
        try:
            await polling.wait_for_async(
                partial(self._replay, testbed), REPLAY_LIMIT_S, "the replay of the retrievals"
            )
        except polling.WaitError as error:
            self.failures.append(str(error))
        replayed = len(incomplete) - len(oracle.incomplete(oracle.run))
        self.notes.append(f"{len(incomplete)} images with dropped statuses, {replayed} replayed")

    @staticmethod
    async def _replay(testbed: FaultTestbed) -> bool:
        """Return whether each image has its retrievals; repeat their transfers otherwise."""
        testbed.observe()
        traces = testbed.oracle.incomplete(testbed.oracle.run)
        if not any(testbed.oracle.lacks(trace, RETRIEVED) for trace in traces):
            return True
        await replay_night(testbed)
        return False


async def _is_consumed(testbed: FaultTestbed, queue: str) -> bool:
    return await raw_publisher.count_consumers(testbed.rig, queue) > 0


async def replay_night(testbed: FaultTestbed) -> None:
    """Repeat the transfers of the unfinished images, as an operator does.

    An image in progress is not changed: repeat the call.
    """
    env = testbed.rig.env
    program = shutil.which("ccarchiver", path=env["PATH"])
    if program is None:
        raise RuntimeError(f"no program ccarchiver in {env['PATH']}")
    process = await asyncio.create_subprocess_exec(
        program, "night", "--replay", env=env, stdout=asyncio.subprocess.DEVNULL
    )
    # Its exit code is 1 while an image waits for something else than its retrieval.
    await process.wait()


def queue_of(testbed: FaultTestbed, which: str) -> str:
    """Return the name of a queue that the archiver consumes."""
    settings = testbed.settings
    return {
        ACKS: settings.forwarder_publish_queue,
        RETRIEVALS: settings.telemetry_queue,
        INGESTIONS: settings.queue_from_oods,
        CONTROLLER: settings.archive_ctrl_publish_queue,
    }[which]


SCENARIOS = [RabbitRejects, QueueDeleted]
