"""RabbitMQ's confirmations and returns of the messages published on one channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pika

if TYPE_CHECKING:
    from pika.frame import Method


class Confirmations:
    """Confirmations and returns of the messages on a channel in confirm mode.

    RabbitMQ returns a message that no queue has before it confirms it.
    """

    def __init__(self) -> None:
        self._published = 0
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._returned: set[str] = set()

    def expect(self) -> tuple[int, asyncio.Future[bool]]:
        """Return the delivery tag of the next message, and the future of its confirmation.

        The future's result is whether RabbitMQ accepts the message.
        """
        self._published += 1
        confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[self._published] = confirmed
        return self._published, confirmed

    def forget(self, tag: int) -> None:
        """Ignore a later confirmation of a message."""
        self._waiting.pop(tag, None)

    def was_returned(self, message_id: str) -> bool:
        """Return whether RabbitMQ has returned a message; true only once for each return."""
        found = message_id in self._returned
        self._returned.discard(message_id)
        return found

    def fail(self, error: Exception) -> None:
        """Fail all messages that are not confirmed yet."""
        for confirmed in self._waiting.values():
            if not confirmed.done():
                confirmed.set_exception(error)

    def on_return(
        self, _channel: object, _method: object, properties: pika.BasicProperties, _body: bytes
    ) -> None:
        """Handle basic.return."""
        self._returned.add(properties.message_id)

    def on_confirm(self, frame: Method[Any]) -> None:
        """Handle basic.ack or basic.nack, which can be about several messages."""
        method = frame.method
        is_accepted = isinstance(method, pika.spec.Basic.Ack)
        upto = method.delivery_tag
        tags = [tag for tag in self._waiting if tag <= upto] if method.multiple else [upto]
        for tag in tags:
            confirmed = self._waiting.get(tag)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(is_accepted)
