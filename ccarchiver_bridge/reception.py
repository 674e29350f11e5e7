"""What becomes of a message that came in: mail to SAL, an answer taken in, or a dead letter with its reason."""

from __future__ import annotations

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
        """Handle deliveries in order; statuses and refusals share steps, an answer has its own. Safe to repeat.

        Parameters
        ----------
        batch : `list`
            What came, all from one queue.
        done : callable
            Called for each when Redis has what it means.
        """
        step, taken = Step(), list["Delivery"]()
        for delivery in batch:
            try:
                message = self._reader.read(delivery.body)
                if isinstance(message, Ack):
                    await self._flush(step, taken, done)
                    step, taken = Step(), []
                    await self._answers.handle(message, delivery)
                else:
                    self._add(step, message, delivery.queue)
            except RejectedError as error:
                self._refuse(step, delivery, str(error))
            except CcArchiverError:
                raise
            except Exception as error:  # noqa: BLE001  a defect of ours must not stop the good messages behind it
                _log.exception("message.defect", queue=delivery.queue)
                self._refuse(step, delivery, f"a defect of the archiver: {type(error).__name__}: {error}")
            taken.append(delivery)
        await self._flush(step, taken, done)

    async def _flush(self, step: Step, taken: list[Delivery], done: Callable[[Delivery], None]) -> None:
        if step.operations:
            killpoint.reach("bridge.before_status_step")
            await self._hub.runner.apply(step)
            killpoint.reach("bridge.before_amqp_ack")
        for delivery in taken:
            done(delivery)

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
