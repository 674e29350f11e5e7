"""Routing of received messages: to the CSC, to the ack handler or to the dead letters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.messages.incoming import (
    Ack,
    IgnoredAck,
    Incoming,
    Ingest,
    MessageDecoder,
    Retrieval,
    ScanAck,
)
from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.errors import CcArchiverError, RejectedError
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_bridge.ack_handler import AckHandler
    from ccarchiver_bridge.amqp.connection import Delivery
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.controller import ControllerMonitor
    from ccarchiver_bridge.forwarder_scan import ForwarderScan

_log = structlog.get_logger(__name__)


class MessageRouter:
    """Handler of received messages, from any queue or requeued dead letter.

    Parameters
    ----------
    bridge : `BridgeContext`
        Settings and transactions.
    ack_handler : `AckHandler`
        Handles acknowledgements.
    controller : `ControllerMonitor`
        Is notified of the Controller's messages.
    scan : `ForwarderScan`
        Is notified of the answers to scans.
    """

    def __init__(
        self,
        bridge: BridgeContext,
        ack_handler: AckHandler,
        controller: ControllerMonitor,
        scan: ForwarderScan,
    ) -> None:
        self._bridge = bridge
        self._controller = controller
        self._scan = scan
        self._ack_handler = ack_handler
        self._decoder = MessageDecoder(bridge.settings)

    async def handle_batch(self, batch: list[Delivery], done: Callable[[Delivery], None]) -> None:
        """Handle deliveries of one queue; safe to repeat.

        File statuses and rejected messages share one transaction, in order. Acknowledgements are
        handled concurrently. Those of one image stay in order, because each acquires the image's
        lock.

        Parameters
        ----------
        batch : `list`
            The deliveries, all from one queue.
        done : callable
            Called for each delivery when Redis holds its result.
        """
        transaction = Transaction()
        acks: list[tuple[Ack, Delivery]] = []
        rejected: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                message = self._decoder.read(delivery.body)
                if isinstance(message, Ack):
                    acks.append((message, delivery))
                else:
                    self._add(transaction, message, delivery.queue)
            except RejectedError as error:
                rejected.append((delivery, str(error)))
        self._add_rejections(transaction, rejected)
        if len(acks) == 1:
            await self._handle_ack(*acks[0])
        elif acks:
            async with asyncio.TaskGroup() as group:
                for ack, delivery in acks:
                    group.create_task(self._handle_ack(ack, delivery))
        if transaction.commands:
            # An instruction to a peer is more urgent than the next of many statuses.
            await self._bridge.transactions.let_effects_pass()
            failpoint.hit("bridge.before_status_transaction")
            await self._bridge.transactions.apply(transaction)
            failpoint.hit("bridge.before_amqp_ack")
        for delivery in batch:
            done(delivery)

    async def _handle_ack(self, ack: Ack, delivery: Delivery) -> None:
        with structlog.contextvars.bound_contextvars(**self._ack_handler.log_keys(ack)):
            await self._handle_ack_or_reject(ack, delivery)

    async def _handle_ack_or_reject(self, ack: Ack, delivery: Delivery) -> None:
        try:
            await self._ack_handler.handle(ack, delivery)
        except RejectedError as error:
            await self._apply_rejection(delivery, str(error))
        except CcArchiverError:
            raise
        except Exception as error:  # noqa: BLE001  a defect must not stop the messages behind it
            _log.exception(
                "message.handler_failed",
                queue=delivery.queue,
                effect="a message is not applied; its image may stay unfinished",
            )
            await self._apply_rejection(
                delivery, f"a defect of the archiver: {type(error).__name__}: {error}"
            )

    async def _apply_rejection(self, delivery: Delivery, reason: str) -> None:
        transaction = Transaction()
        self._add_rejections(transaction, [(delivery, reason)])
        await self._bridge.transactions.apply(transaction)

    def _add_rejections(
        self, transaction: Transaction, rejected: list[tuple[Delivery, str]]
    ) -> None:
        """Make rejected deliveries of one queue dead letters, with one log line for all.

        A line for each would take more time than the rest, and a file status may wait behind
        thousands of messages that no program knows. The dead letters have each reason.
        """
        if not rejected:
            return
        first, reason = rejected[0]
        _log.warning(
            "message.dead_lettered",
            queue=first.queue,
            reason=reason,
            bytes=len(first.body),
            **({"messages": len(rejected)} if len(rejected) > 1 else {}),
        )
        for delivery, why in rejected:
            dead_letters.add(
                transaction,
                self._bridge.settings,
                origin=delivery.queue,
                reason=why,
                raw=delivery.body,
            )

    def _add(self, transaction: Transaction, message: Incoming, queue: str) -> None:
        match message:
            case Ingest():
                if queue == self._bridge.settings.archive_ctrl_publish_queue:
                    self._controller.on_message()
                transaction.enqueue(
                    keys.Worker.SAL,
                    self._status(StatusTopic.IN_OODS, message, message.CAMERA, message.ARCHIVER),
                )
            case Retrieval():
                settings = self._bridge.settings
                transaction.enqueue(
                    keys.Worker.SAL,
                    self._status(
                        StatusTopic.RETRIEVAL, message, settings.camera_name, settings.archiver_name
                    ),
                )
            case ScanAck():
                self._scan.on_answer(transaction)
            case IgnoredAck():
                _log.debug("ack.received", msg_type=message.MSG_TYPE, ack_id=message.ACK_ID)
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
