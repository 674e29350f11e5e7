"""The simulated OODS and its handling of each request."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.common.queue_server import QueueServer
from ccarchiver_sim.peers.common.rabbit import MESSAGE_EXCHANGE, ConsumerOptions
from ccarchiver_sim.peers.oods import messages
from ccarchiver_sim.peers.oods.catalogue import Catalogue
from ccarchiver_sim.peers.oods.inspection import BadFileError, inspect

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.common.site import Site
    from ccarchiver_sim.peers.common.wire import Message
    from ccarchiver_sim.peers.oods.options import OodsOptions

log = logging.getLogger(__name__)


class Oods:
    """The simulated OODS.

    Parameters
    ----------
    loop : `RunLoop`
        The process's run loop.
    site : `Site`
        Addresses, queues, credentials.
    options : `OodsOptions`
        Path of its catalogue and the release that it imitates.
    """

    def __init__(self, loop: RunLoop, site: Site, options: OodsOptions) -> None:
        settings = site.settings
        self._settings = settings
        self._options = options
        self._server = QueueServer(
            loop, site, ConsumerOptions(queue=settings.queue_to_oods), MESSAGE_EXCHANGE
        )
        self._link = self._server.link

    def run(self) -> None:
        """Handle requests until the run loop stops."""
        with Catalogue(self._options.catalogue) as self._catalogue:
            handlers = {self._settings.file_ingest_request: self._on_request}
            self._server.serve(handlers, catalogue=self._options.catalogue)

    def _on_request(self, message: Message) -> None:
        filename = wire.text(message, "FILENAME")
        obsid = wire.text(message, "OBSID")
        code = messages.INGESTED
        description = f"OBSID {obsid}: file {filename} ingested into OODS"
        try:
            inspect(Path(filename), obsid)
            self._register(message, filename, obsid)
        except BadFileError as error:
            code = messages.NOT_INGESTED
            description = f"OBSID {obsid}: file {filename} not ingested: {error}"
            log.error("%s", description)  # noqa: TRY400 - no traceback needed
        self._report(message, code, description)

    def _register(self, message: Message, filename: str, obsid: str) -> None:
        raft = wire.optional_text(message, "RAFT")
        sensor = wire.optional_text(message, "SENSOR")
        times = self._catalogue.register(filename, obsid, raft, sensor)
        log.info(
            "%s ingested%s", Path(filename).name, "" if times == 1 else f", for the {times}. time"
        )

    def _report(self, request: Message, code: int, description: str) -> None:
        # Some releases name the status after the request.
        name = (
            self._settings.file_ingest_request if self._options.legacy_status else messages.STATUS
        )
        report = messages.report(
            request, name, code, description, with_raft=not self._options.no_raft
        )
        for _ in range(2 if self._options.duplicate else 1):
            self._link.publish(self._settings.queue_from_oods, wire.encode_block(report))
