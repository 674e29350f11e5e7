"""What becomes of a message that came in: mail to SAL, an answer taken in, or a dead letter with its reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.messages.incoming import Ack, Incoming, Ingest, OtherAck, Reader, Retrieval
from ccarchiver_core import deadletter, keys, killpoint
from ccarchiver_core.errors import CcArchiverError, RejectedError
from ccarchiver_core.mail import FileStatus, StatusTopic
from ccarchiver_core.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_bridge.amqp.link import Delivery
    from ccarchiver_bridge.answers import Answers
    from ccarchiver_bridge.controller import ControllerWatch
    from ccarchiver_bridge.hub import Hub

_log = structlog.get_logger(__name__)


class Reception:
    """Handles messages, whatever queue or dead letter they come from.

    Parameters
    ----------
    hub : `Hub`
        Settings and steps.
    answers : `Answers`
        Handles acks.
    controller : `ControllerWatch`
        Hears of the Controller's messages.
    """

    def __init__(self, hub: Hub, answers: Answers, controller: ControllerWatch) -> None:
        self._hub = hub
        self._controller = controller
        self._answers = answers
        self._reader = Reader(hub.settings)

    async def take(self, batch: list[Delivery], done: Callable[[Delivery], None]) -> None:
        """Handle deliveries of one queue. Safe to repeat.

        Statuses and refusals share steps, in order. Answers are handled side by side: those of one image stay in
        order, because each takes the image's lock.

        Parameters
        ----------
        batch : `list`
            What came, all from one queue.
        done : callable
            Called for each when Redis has what it means.
        """
        step = Step()
        answers: list[tuple[Ack, Delivery]] = []
        for delivery in batch:
            try:
                message = self._reader.read(delivery.body)
                if isinstance(message, Ack):
                    answers.append((message, delivery))
                else:
                    self._add(step, message, delivery.queue)
            except RejectedError as error:
                self._refuse(step, delivery, str(error))
        if len(answers) == 1:
            await self._answer(*answers[0])
        elif answers:
            async with asyncio.TaskGroup() as group:
                for ack, delivery in answers:
                    group.create_task(self._answer(ack, delivery))
        if step.operations:
            killpoint.reach("bridge.before_status_step")
            await self._hub.runner.apply(step)
            killpoint.reach("bridge.before_amqp_ack")
        for delivery in batch:
            done(delivery)

    async def _answer(self, ack: Ack, delivery: Delivery) -> None:
        with structlog.contextvars.bound_contextvars(**self._answers.log_keys(ack)):
            await self._answer_or_refuse(ack, delivery)

    async def _answer_or_refuse(self, ack: Ack, delivery: Delivery) -> None:
        try:
            await self._answers.handle(ack, delivery)
        except RejectedError as error:
            await self._refuse_alone(delivery, str(error))
        except CcArchiverError:
            raise
        except Exception as error:  # noqa: BLE001  a defect of ours must not stop the good messages behind this one
            _log.exception("message.defect", queue=delivery.queue)
            await self._refuse_alone(delivery, f"a defect of the archiver: {type(error).__name__}: {error}")

    async def _refuse_alone(self, delivery: Delivery, reason: str) -> None:
        step = Step()
        self._refuse(step, delivery, reason)
        await self._hub.runner.apply(step)

    def _refuse(self, step: Step, delivery: Delivery, reason: str) -> None:
        _log.warning("message.dead_lettered", queue=delivery.queue, reason=reason, bytes=len(delivery.body))
        deadletter.add(step, self._hub.settings, origin=delivery.queue, reason=reason, raw=delivery.body)

    def _add(self, step: Step, message: Incoming, queue: str) -> None:
        match message:
            case Ingest():
                if queue == self._hub.settings.archive_ctrl_publish_queue:
                    self._controller.alive()
                step.post(keys.Worker.SAL, self._status(StatusTopic.IN_OODS, message, message.CAMERA, message.ARCHIVER))
            case Retrieval():
                settings = self._hub.settings
                step.post(
                    keys.Worker.SAL,
                    self._status(StatusTopic.RETRIEVAL, message, settings.camera_name, settings.archiver_name),
                )
            case OtherAck():
                _log.debug("ack.noted", msg_type=message.MSG_TYPE, ack_id=message.ACK_ID)
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
