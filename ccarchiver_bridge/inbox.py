"""What comes in from RabbitMQ: acknowledged only when Redis has it, refused into the dead letters with a reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.messages.incoming import Ack, Incoming, Ingest, OtherAck, Reader, Retrieval
from ccarchiver_core import deadletter, keys, killpoint
from ccarchiver_core.backoff import Backoff
from ccarchiver_core.errors import RejectedError
from ccarchiver_core.mail import FileStatus, StatusTopic
from ccarchiver_core.redis_client import patiently
from ccarchiver_core.step import Step

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.link import Delivery, Link
    from ccarchiver_bridge.answers import Answers
    from ccarchiver_bridge.hub import Hub

BATCH = 50
"""Deliveries of one queue that share one step: a burst of 2,000 takes 40 fsyncs instead of 2,000."""

_log = structlog.get_logger(__name__)


class Inbox:
    """Consumes the archiver's queues over one link.

    Parameters
    ----------
    hub, answers
        Where messages go.
    link : `Link`
        The connection; a new one needs a new inbox.
    """

    def __init__(self, hub: Hub, answers: Answers, link: Link) -> None:
        self._hub = hub
        self._answers = answers
        self._link = link
        self._reader = Reader(hub.settings)
        self._queues: dict[str, asyncio.Queue[Delivery]] = {}

    @staticmethod
    def queue_names(hub: Hub) -> list[str]:
        """Names of the queues the archiver consumes."""
        settings = hub.settings
        return [
            settings.forwarder_publish_queue,
            settings.telemetry_queue,
            settings.oods_publish_queue,
            settings.archive_ctrl_publish_queue,
        ]

    async def run(self) -> None:
        """Consume until cancelled; each queue in its own order."""
        async with asyncio.TaskGroup() as group:
            for name in dict.fromkeys(self.queue_names(self._hub)):
                arrived: asyncio.Queue[Delivery] = asyncio.Queue()  # bounded by the prefetch
                self._link.consume(name, arrived.put_nowait)
                group.create_task(self._serve(arrived))

    async def _serve(self, arrived: asyncio.Queue[Delivery]) -> None:
        while True:
            batch = [await arrived.get()]
            while len(batch) < BATCH and not arrived.empty():
                batch.append(arrived.get_nowait())
            await self._wait_for_room()
            await self._take(batch)

    async def _take(self, batch: list[Delivery]) -> None:
        """Handle deliveries in order; statuses and refusals share steps, an answer has its own."""
        step, taken = Step(), list[int]()
        for delivery in batch:
            try:
                message = self._reader.read(delivery.body)
                if isinstance(message, Ack):
                    await self._flush(step, taken)
                    step, taken = Step(), []
                    await self._answers.handle(message, delivery)
                else:
                    self._add(step, message)
            except RejectedError as error:
                _log.warning("message.dead_lettered", queue=delivery.queue, reason=str(error), bytes=len(delivery.body))
                deadletter.add(step, self._hub.settings, origin=delivery.queue, reason=str(error), raw=delivery.body)
            taken.append(delivery.tag)
        await self._flush(step, taken)

    async def _flush(self, step: Step, tags: list[int]) -> None:
        if step.operations:
            killpoint.reach("bridge.before_status_step")
            await self._hub.runner.apply(step)
            killpoint.reach("bridge.before_amqp_ack")
        for tag in tags:
            self._link.ack(tag)

    def _add(self, step: Step, message: Incoming) -> None:
        match message:
            case Ingest():
                step.post(keys.Worker.SAL, self._status(StatusTopic.IN_OODS, message, message.CAMERA, message.ARCHIVER))
            case Retrieval():
                settings = self._hub.settings
                step.post(
                    keys.Worker.SAL,
                    self._status(StatusTopic.RETRIEVAL, message, settings.camera_name, settings.archiver_name),
                )
            case OtherAck():
                _log.debug("ack.noted", kind=message.MSG_TYPE)
            case _:
                raise RejectedError(f"{message.MSG_TYPE} is not expected here")

    @staticmethod
    def _status(topic: StatusTopic, message: Retrieval, camera: str, archiver: str) -> FileStatus:
        return FileStatus(
            topic=topic,
            camera=camera,
            archiver=archiver,
            obsid=message.OBSID,
            raft=message.RAFT,
            sensor=message.SENSOR,
            filename=message.FILENAME,
            status_code=message.STATUS_CODE,
            description=message.DESCRIPTION,
        )

    async def _wait_for_room(self) -> None:
        """Wait while SAL's mailbox is full: RabbitMQ keeps the rest meanwhile."""
        backoff = Backoff()
        limit = self._hub.settings.max_mailbox
        while (depth := await patiently(lambda: self._hub.redis.xlen(keys.Worker.SAL.mailbox))) >= limit:
            await backoff.wait(_log, "mailbox.full", worker="sal", depth=depth, mend="is ccarchiver:sal running?")
