"""Taking a peer's messages one after the other, and never going deaf because of one."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.common import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ccarchiver_sim.peers.common.rabbit import Delivery
    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.common.wire import Message

IDLE_S: Final = 0.2
"""How long the thread sleeps before it looks whether the peer ends."""

SHOWN_BYTES: Final = 200
"""How much of a message that was not understood goes into the log: enough to recognise it."""

log = logging.getLogger(__name__)


class Inbox:
    """A queue of deliveries and the thread that handles them in order.

    Parameters
    ----------
    loop : `RunLoop`
        The peer's run loop.
    """

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self._waiting: queue.SimpleQueue[Delivery] = queue.SimpleQueue()

    def put(self, delivery: Delivery) -> None:
        """Add a delivery; returns at once."""
        self._waiting.put(delivery)

    def run(self, handlers: Mapping[str, Callable[[Message], None]], settle: Callable[[Delivery], None]) -> None:
        """Handle deliveries until the peer ends.

        Parameters
        ----------
        handlers : mapping
            A handler for each MSG_TYPE.
        settle : callable
            Called with each delivery when it was handled, or skipped.
        """
        while not self._loop.stop.is_set():
            try:
                delivery = self._waiting.get(timeout=IDLE_S)
            except queue.Empty:
                continue
            _handle(delivery, handlers)
            settle(delivery)


def _handle(delivery: Delivery, handlers: Mapping[str, Callable[[Message], None]]) -> None:
    try:
        message = wire.decode(delivery.body)
        message_type = wire.text(message, "MSG_TYPE")
        handler = handlers.get(message_type)
        if handler is None:
            log.warning("skipped: nothing is known about messages of type %s", message_type)
            return
        log.debug("received %s", message)
        handler(message)
    except wire.WireError as error:
        log.warning("skipped: %s; the message begins %r", error, delivery.body[:SHOWN_BYTES])
    except Exception:
        # Whatever one message does, the next must be heard: a peer that went deaf is the worst peer.
        log.exception("failed on a message that begins %r", delivery.body[:SHOWN_BYTES])
