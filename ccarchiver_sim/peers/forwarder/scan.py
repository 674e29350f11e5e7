"""Answer to SCAN: the names of the camera's newest images, in a list in Redis."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.common.daq import DaqCatalogue

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.redis_db import RedisDatabase
    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.common.wire import Message
    from ccarchiver_sim.peers.forwarder.options import ForwarderOptions

log = logging.getLogger(__name__)


class Scan:
    """Handler of SCAN.

    Parameters
    ----------
    loop : `RunLoop`
        The peer's run loop.
    options : `ForwarderOptions`
        Folder of the images, and the time that a scan takes.
    database : `RedisDatabase`
        The archiver's database.
    """

    def __init__(self, loop: RunLoop, options: ForwarderOptions, database: RedisDatabase) -> None:
        self._loop = loop
        self._catalogue = None if options.daq is None else DaqCatalogue(options.daq)
        self._duration_s = options.misbehaviour.scan_time
        self._database = database

    def list_images(self, message: Message) -> bool:
        """Push the names of the images to the list that a SCAN names; return whether to answer.

        As the deployed Forwarder, it blocks meanwhile, removes no older entries, and gives no
        answer if MINUTES is missing or negative or if it finds no images at all.

        Raises
        ------
        WireError
            If KEY is missing.
        """
        key = wire.text(message, "KEY")
        minutes = message.get("MINUTES")
        self._loop.stop.wait(self._duration_s)
        if not isinstance(minutes, int) or minutes < 0:
            log.error("SCAN has MINUTES %r; no answer", minutes)
            return False
        images = None if self._catalogue is None else self._catalogue.images(minutes, time.time())
        if images is None:
            log.error("SCAN finds no folder with images; no answer")
            return False
        if images:
            self._database.retry_until_done(
                f"list images in {key}",
                lambda client: client.lpush(key, *images),
                self._loop.stop,
            )
        log.info("SCAN: %d images of the last %d minutes in %s", len(images), minutes, key)
        return True
