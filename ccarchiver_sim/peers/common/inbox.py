"""Sequential handling of a peer's messages, which continues after a failed one."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.common import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

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

    def run_batches(
        self,
        message_type: str,
        handle: Callable[[Sequence[Message]], bool],
        ack: Callable[[Delivery], None],
        limit: int,
    ) -> None:
        """Handle deliveries of one type until the peer ends, all that wait at once.

        Parameters
        ----------
        message_type : `str`
            Their MSG_TYPE; others are skipped.
        handle : callable
            Handler; it returns whether it has handled the messages, or the peer ends before.
        ack : callable
            Called with each delivery after it was handled or skipped.
        limit : `int`
            Maximum number of messages in one call.
        """
        while not self._loop.stop.is_set():
            batch = self._next_batch(limit)
            found = [_decode(delivery, {message_type}) for delivery in batch]
            messages = [message for message in found if message is not None]
            if messages and not _is_handled(messages, handle):
                return
            for delivery in batch:
                ack(delivery)

    def _next_batch(self, limit: int) -> list[Delivery]:
        """Return the deliveries that wait; none if there is none for `IDLE_S`."""
        batch: list[Delivery] = []
        try:
            batch.append(self._waiting.get(timeout=IDLE_S))
            while len(batch) < limit:
                batch.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return batch


def _handle(delivery: Delivery, handlers: Mapping[str, Callable[[Message], None]]) -> None:
    message = _decode(delivery, handlers)
    if message is None:
        return
    try:
        handlers[str(message["MSG_TYPE"])](message)
    except wire.WireError as error:
        log.warning("skipped: %s; the message begins %r", error, delivery.body[:SHOWN_BYTES])
    except Exception:
        # A failure on one message must not stop the handling of the next.
        log.exception("failed on a message that begins %r", delivery.body[:SHOWN_BYTES])


def _decode(delivery: Delivery, types: Container[str]) -> Message | None:
    """Return the message of a delivery, or None if it has none of the types or cannot be read."""
    try:
        message = wire.decode(delivery.body)
        message_type = wire.text(message, "MSG_TYPE")
    except wire.WireError as error:
        log.warning("skipped: %s; the message begins %r", error, delivery.body[:SHOWN_BYTES])
        return None
    if message_type not in types:
        log.warning("skipped: no handler for messages of type %s", message_type)
        return None
    log.debug("received %s", message)
    return message


def _is_handled(messages: Sequence[Message], handle: Callable[[Sequence[Message]], bool]) -> bool:
    try:
        return handle(messages)
    except Exception:
        # A failure on one batch must not stop the handling of the next.
        log.exception("failed on %d messages; the first one is %s", len(messages), messages[0])
        return True
