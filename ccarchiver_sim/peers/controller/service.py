"""The simulated Controller and its handling of each message."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.common.queue_server import QueueServer
from ccarchiver_sim.peers.common.rabbit import MESSAGE_EXCHANGE, ConsumerOptions
from ccarchiver_sim.peers.controller import messages
from ccarchiver_sim.peers.controller.staging import LinkError, Staging, make_day_directory

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.common.site import Site
    from ccarchiver_sim.peers.common.wire import Message
    from ccarchiver_sim.peers.controller.options import ControllerOptions

log = logging.getLogger(__name__)


class ArchiveController:
    """The simulated Controller.

    Parameters
    ----------
    loop : `RunLoop`
        The process's run loop.
    site : `Site`
        Addresses, queues, staging trees, credentials.
    options : `ControllerOptions`
        Name and misbehaviour of the Controller.
    """

    def __init__(self, loop: RunLoop, site: Site, options: ControllerOptions) -> None:
        settings = site.settings
        archive = settings.archive
        self._settings = settings
        self._options = options
        self._staging = Staging(
            source=archive.forwarder_staging, oods=archive.oods_staging, dbb=archive.dbb_staging
        )
        self._server = QueueServer(
            loop, site, ConsumerOptions(queue=settings.archive_ctrl_consume_queue), MESSAGE_EXCHANGE
        )
        self._link = self._server.link

    def run(self) -> None:
        """Handle messages until the run loop stops."""
        handlers = {
            self._settings.new_archive_item: self._on_new_item,
            "ARCHIVE_HEALTH_CHECK": self._on_health_check,
            "FILE_TRANSFER_COMPLETED": self._on_file_arrived,
        }
        self._server.serve(handlers, component=self._options.component)

    def _on_new_item(self, message: Message) -> None:
        reply_queue = wire.text(message, "REPLY_QUEUE")
        target_dir = self._options.target_dir
        if target_dir is None:
            now = dt.datetime.now(dt.UTC)
            target_dir = make_day_directory(self._settings.archive.forwarder_staging, now)
        answer = messages.item_ack(
            message, target_dir, self._options.component, positive=not self._options.negative
        )
        log.info("%s goes to %s", message.get("IMAGE_ID"), target_dir)
        self._answer(message, reply_queue, answer)

    def _on_health_check(self, message: Message) -> None:
        answer = messages.health_ack(
            message, self._options.component, positive=not self._options.negative
        )
        # As the real Controller does, to the configured queue instead of REPLY_QUEUE.
        self._answer(message, self._settings.forwarder_publish_queue, answer)

    def _on_file_arrived(self, message: Message) -> None:
        filename = wire.text(message, "FILENAME")
        acknowledgement = messages.transfer_ack(message, self._options.component)
        try:
            linked = self._staging.link(filename)
        except LinkError as error:
            log.error("%s", error)  # noqa: TRY400 - no traceback needed
            report = messages.not_in_oods(
                message, f"could not link the file for the OODS: {error}", self._settings
            )
            self._link.publish(self._settings.archive_ctrl_publish_queue, wire.encode_block(report))
            return
        log.info("%s linked", linked.name)
        self._answer(message, wire.text(message, "REPLY_QUEUE"), acknowledgement)
        request = messages.ingest_request(message, str(linked), self._settings)
        self._link.publish(self._settings.queue_to_oods, wire.encode_block(request))

    def _answer(self, question: Message, queue: str, answer: Message) -> None:
        if question["MSG_TYPE"] in self._options.mute:
            log.warning("not acknowledging %s (--mute)", question["MSG_TYPE"])
            return
        self._link.publish_later(queue, wire.encode_block(answer), self._options.ack_delay)
