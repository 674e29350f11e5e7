"""The simulated Forwarder and its handling of each message."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.common.queue_server import QueueServer
from ccarchiver_sim.peers.common.rabbit import DEFAULT_EXCHANGE, ConsumerOptions
from ccarchiver_sim.peers.common.redis_db import RedisDatabase
from ccarchiver_sim.peers.common.runloop import PeerError
from ccarchiver_sim.peers.forwarder import header, messages
from ccarchiver_sim.peers.forwarder.delivery import Delivery, die
from ccarchiver_sim.peers.forwarder.options import HEADER_FAILED
from ccarchiver_sim.peers.forwarder.presence import Presence
from ccarchiver_sim.peers.forwarder.scan import Scan
from ccarchiver_sim.peers.forwarder.scoreboard import Instruction, Scoreboard
from ccarchiver_sim.peers.forwarder.sensors import UnknownBoardError, sensors_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.common.site import Site
    from ccarchiver_sim.peers.common.wire import Message
    from ccarchiver_sim.peers.forwarder.options import ForwarderOptions

PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Pattern of image names that may be part of a file name."""

log = logging.getLogger(__name__)


class Forwarder:
    """One simulated Forwarder.

    Parameters
    ----------
    loop : `RunLoop`
        The process's run loop.
    site : `Site`
        Addresses, queues, credentials.
    options : `ForwarderOptions`
        Identity and misbehaviour.

    Raises
    ------
    PeerError
        If its own Redis database, which it empties, is that of the archiver.
    """

    def __init__(self, loop: RunLoop, site: Site, options: ForwarderOptions) -> None:
        settings = site.settings
        if options.redis_db == settings.archiver_redis_db:
            raise PeerError(
                f"Redis database {options.redis_db} belongs to the archiver (ARCHIVER_REDIS_DB), "
                "and a Forwarder empties its own at start; set another --redis-db"
            )
        self._loop = loop
        self._options = options
        self._own_database = RedisDatabase(
            settings.redis_host, settings.redis_port, options.redis_db
        )
        self._archiver_database = RedisDatabase(
            settings.redis_host, settings.redis_port, settings.archiver_redis_db
        )
        self._presence = Presence(loop, options.identity, self._archiver_database)
        self._scan = Scan(loop, options, self._archiver_database)
        self._scoreboard = Scoreboard()
        consumer_options = ConsumerOptions(
            queue=options.identity.consume_queue,
            declare=False,
            exclusive=True,
            wait_for_queue=options.wait_for_queue,
        )
        self._server = QueueServer(loop, site, consumer_options, DEFAULT_EXCHANGE)
        self._link = self._server.link
        self._delivery = Delivery(site, options, self._link)
        self._short_name = settings.short_name
        self._camera = settings.wfs

    def run(self) -> None:
        """Handle messages until the run loop stops.

        Raises
        ------
        PeerError
            If the Forwarder cannot work, for example because its queue is missing.
        """
        self._own_database.retry_until_done(
            "empty this Forwarder's own database", lambda client: client.flushdb(), self._loop.stop
        )
        self._presence.register()
        self._loop.spawn("presence", self._presence.renew_forever)
        identity = self._options.identity
        about = {
            "name": identity.name,
            "hostname": identity.hostname,
            "presence_key": identity.presence_key,
        }
        try:
            self._server.serve(self._handlers(), **about)
        finally:
            self._own_database.close()
            self._archiver_database.close()

    def _handlers(self) -> dict[str, Callable[[Message], None]]:
        prefix = f"{self._short_name}_FWDR"
        handlers = {
            "ASSOCIATED": self._on_associated,
            f"{prefix}_XFER_PARAMS": self._on_xfer_params,
            f"{prefix}_END_READOUT": self._on_end_readout,
            f"{prefix}_HEADER_READY": self._on_header_ready,
            f"{prefix}_HEALTH_CHECK": self._acknowledge,
            "FILE_TRANSFER_COMPLETED_ACK": self._on_transfer_ack,
            "SCAN": self._on_scan,
        }
        return {
            message_type: self._mortal(message_type, handler)
            for message_type, handler in handlers.items()
        }

    def _mortal(
        self, message_type: str, handler: Callable[[Message], None]
    ) -> Callable[[Message], None]:
        """Return a handler that ends the process if the options demand it for this type."""
        if message_type != self._options.misbehaviour.die_after:
            return handler
        return lambda _message: die(self._link, f"received {message_type} (--die-after)")

    def _on_associated(self, message: Message) -> None:
        key = wire.text(message, "ASSOCIATION_KEY")
        reply_queue = wire.text(message, "REPLY_QUEUE")
        ack_id = wire.text(message, "ACK_ID")
        self._answer(
            "ASSOCIATED",
            reply_queue,
            messages.associated_ack(self._options.identity.presence_key, ack_id),
        )
        self._presence.start_checks(key)
        log.info("paired; the archiver is alive while key %s exists", key)

    def _on_xfer_params(self, message: Message) -> None:
        self._acknowledge(message)
        image_id = wire.text(message, "IMAGE_ID")
        if PLAIN_NAME.fullmatch(image_id) is None:
            raise wire.WireError(f"IMAGE_ID {image_id!r} cannot be part of a file's name")
        parameters = message.get("XFER_PARAMS")
        locations = parameters.get("RAFT_CCD_LIST") if isinstance(parameters, dict) else None
        if not isinstance(locations, list) or not locations:
            raise wire.WireError(f"{image_id}: XFER_PARAMS has no RAFT_CCD_LIST")
        try:
            sensors = tuple(
                sensor
                for location in locations
                for sensor in sensors_of(str(location), self._camera)
            )
        except UnknownBoardError as error:
            raise wire.WireError(f"{image_id}: {error}") from error
        self._scoreboard.record(image_id).instruction = Instruction(
            target=wire.text(message, "TARGET_LOCATION"),
            session_id=wire.text(message, "SESSION_ID"),
            job_num=wire.text(message, "JOB_NUM"),
            sensors=sensors,
        )

    def _on_end_readout(self, message: Message) -> None:
        self._acknowledge(message)
        image_id = wire.text(message, "IMAGE_ID")
        record = self._scoreboard.record(image_id)
        if record.instruction is None:
            log.error(
                "%s is lost: END_READOUT arrived before XFER_PARAMS, so its boards are unknown",
                image_id,
            )
            return
        record.read_out = record.instruction.sensors
        self._assemble(image_id)

    def _on_header_ready(self, message: Message) -> None:
        self._acknowledge(message)
        image_id = wire.text(message, "IMAGE_ID")
        url = wire.text(message, "FILENAME")
        path = self._options.work_dir / "header" / header.file_name(image_id)
        try:
            header.fetch(url, path)
        except header.HeaderError as error:
            self._delivery.report_failure(image_id, HEADER_FAILED, str(error))
            return
        self._scoreboard.record(image_id).header = path
        self._assemble(image_id)

    def _on_transfer_ack(self, message: Message) -> None:
        log.debug("the Controller has %s", wire.optional_text(message, "FILENAME"))

    def _on_scan(self, message: Message) -> None:
        reply_queue = wire.text(message, "REPLY_QUEUE")
        if self._scan.list_images(message):
            self._answer("SCAN", reply_queue, messages.scan_ack())

    def _assemble(self, image_id: str) -> None:
        """Deliver the image if it is read out and has a header."""
        record = self._scoreboard.record(image_id)
        if record.instruction is None or not record.read_out or record.header is None:
            return
        if self._delivery.deliver(image_id, record.instruction, record.read_out, record.header):
            self._scoreboard.forget(image_id)

    def _acknowledge(self, message: Message) -> None:
        """Acknowledge a message about an image; raise WireError if a field is missing."""
        message_type = wire.text(message, "MSG_TYPE")
        component = self._options.identity.component
        ack = messages.acknowledgement(
            message_type, wire.text(message, "IMAGE_ID"), component, wire.text(message, "ACK_ID")
        )
        self._answer(message_type, wire.text(message, "REPLY_QUEUE"), ack)

    def _answer(self, message_type: str, queue: str, answer: Message) -> None:
        misbehaviour = self._options.misbehaviour
        if message_type in misbehaviour.mute:
            log.warning("not acknowledging %s (--mute)", message_type)
            return
        self._link.publish_later(queue, wire.encode_quoted(answer), misbehaviour.ack_delay)
