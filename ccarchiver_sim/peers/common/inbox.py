"""Sequential handling of a peer's messages, which continues after a failed one."""

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
"""Time that the thread waits for a delivery before it checks whether the peer ends."""

SHOWN_BYTES: Final = 200
"""Length of the excerpt of a bad message in the log: enough to recognise the message."""

log = logging.getLogger(__name__)


class Inbox:
    """A queue of deliveries and the loop that handles them in sequence.

    Parameters
    ----------
    loop : `RunLoop`
        The peer's run loop.
    """

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self._waiting: queue.SimpleQueue[Delivery] = queue.SimpleQueue()

    def put(self, delivery: Delivery) -> None:
        """Add a delivery without waiting."""
        self._waiting.put(delivery)

    def run(
        self, handlers: Mapping[str, Callable[[Message], None]], ack: Callable[[Delivery], None]
    ) -> None:
        """Handle deliveries until the peer ends.

        Parameters
        ----------
        handlers : mapping
            Handler for each MSG_TYPE.
        ack : callable
            Called with each delivery after it was handled or skipped.
        """
        while not self._loop.stop.is_set():
            try:
                delivery = self._waiting.get(timeout=IDLE_S)
            except queue.Empty:
                continue
            _handle(delivery, handlers)
            ack(delivery)


def _handle(delivery: Delivery, handlers: Mapping[str, Callable[[Message], None]]) -> None:
    try:
        message = wire.decode(delivery.body)
        message_type = wire.text(message, "MSG_TYPE")
        handler = handlers.get(message_type)
        if handler is None:
            log.warning("skipped: no handler for messages of type %s", message_type)
            return
        log.debug("received %s", message)
        handler(message)
    except wire.WireError as error:
        log.warning("skipped: %s; the message begins %r", error, delivery.body[:SHOWN_BYTES])
    except Exception:
        # A failure on one message must not stop the handling of the next.
        log.exception("failed on a message that begins %r", delivery.body[:SHOWN_BYTES])
