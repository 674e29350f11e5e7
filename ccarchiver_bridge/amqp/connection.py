"""One connection to RabbitMQ, from open to closed: coroutines over pika's callbacks.

An `AmqpConnection` never reconnects: its user waits for `AmqpConnection.closed` and opens another
one. The design depends on two measured facts:

* RabbitMQ confirms a publish to an exchange without a matching queue. Only ``mandatory`` reveals
  that no queue has the message.
* A publish over a blocked or half-open connection is never confirmed, so each has a timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from ccarchiver_bridge.amqp.errors import AmqpError, UnroutableError, explain
from ccarchiver_core.amqp.parameters import connection_parameters
from ccarchiver_core.amqp.topology import EXCHANGE
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.runtime.heartbeat import BrokerLinkStats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pika.channel import Channel
    from pika.frame import Method

    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.config.site_sections import BrokerAddress


PREFETCH = 200
"""Unacknowledged deliveries: enough to keep Redis busy, few enough to hold in memory."""

PERSISTENT = 2
"""AMQP's delivery mode of messages that survive a restart of the broker."""

CLOSE_LIMIT = 2.0
"""Seconds a clean close may take before the connection is dropped."""


@dataclass(frozen=True)
class Delivery:
    """Message as it was delivered, and the tag with which it is acknowledged."""

    queue: str
    body: bytes
    tag: int


@dataclass(frozen=True)
class QueueState:
    """Number of messages in a queue and of its consumers."""

    messages: int
    consumers: int


class AmqpConnection:
    """Open connection to RabbitMQ; `AmqpConnection.open` creates it.

    Notes
    -----
    Not thread-safe; all of it runs in one event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self.broker = ""
        """Address of the broker, for log lines and error texts."""
        self._publish_timeout = settings.publish_timeout
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        """Completes with the reason when the connection is closed."""
        self.stats = BrokerLinkStats(since=unix_time())
        """For the operator: when it was opened, and RabbitMQ's last confirmation."""
        self._connection: AsyncioConnection | None = None
        self._publishing: Channel | None = None
        self._consuming: Channel | None = None
        self._published = 0
        self._confirms: dict[int, asyncio.Future[bool]] = {}
        self._returned: set[str] = set()
        self._admin = asyncio.Lock()

    @classmethod
    async def open(cls, settings: Settings, credentials: Credentials) -> AmqpConnection:
        """Connect to the first broker of the site that accepts the connection; open the channels.

        Raises
        ------
        AmqpError
            If no broker accepts it; the text contains each broker's address and error, never the
            password.
        ConfigError
            If a file that encryption needs is missing or wrong.
        """
        errors = []
        for broker in settings.brokers:
            try:
                return await cls._open_to(broker, settings, credentials)
            except AmqpError as error:
                errors.append(str(error))
        raise AmqpError("; ".join(errors))

    @classmethod
    async def _open_to(
        cls, broker: BrokerAddress, settings: Settings, credentials: Credentials
    ) -> AmqpConnection:
        link = cls(settings)
        link.broker = broker.text
        limit = settings.connect_timeout / len(settings.brokers)  # for all of them together
        parameters = connection_parameters(
            broker, settings, credentials, name="ccarchiver_bridge", timeout=limit
        )
        try:
            async with asyncio.timeout(limit):
                await link._connect(parameters)
                link._publishing = await link._channel()
                link._consuming = await link._channel()
                await link._prepare(link._publishing, link._consuming)
        except TimeoutError:
            await link.close()
            raise AmqpError(f"RabbitMQ at {broker.text} did not answer in {limit:g} s") from None
        except AmqpError as error:
            await link.close()
            raise AmqpError(f"RabbitMQ at {broker.text}: {error}") from None
        return link

    async def declare(self, queue: str) -> QueueState:
        """Declare a durable queue and bind it to the exchange by its own name; safe to repeat.

        Raises
        ------
        AmqpError
            If the broker rejects it, for example because the queue exists with other arguments.
        """
        async with self._admin_channel() as channel:
            answer = await self._request(
                channel.queue_declare, queue=queue, durable=True, channel=channel
            )
            await self._request(
                channel.queue_bind,
                queue=queue,
                exchange=EXCHANGE,
                routing_key=queue,
                channel=channel,
            )
            return QueueState(answer.method.message_count, answer.method.consumer_count)

    async def inspect(self, queue: str) -> QueueState | None:
        """Return the state of a queue; None if the queue does not exist."""
        async with self._admin_channel() as channel:
            try:
                answer = await self._request(
                    channel.queue_declare, queue=queue, passive=True, channel=channel
                )
            except AmqpError:
                if self.closed.done():
                    raise
                return None
            return QueueState(answer.method.message_count, answer.method.consumer_count)

    async def purge(self, queue: str) -> int:
        """Purge a queue and return the number of messages that it had."""
        async with self._admin_channel() as channel:
            answer = await self._request(channel.queue_purge, queue=queue, channel=channel)
            return int(answer.method.message_count)

    def consume(self, queue: str, callback: Callable[[Delivery], None]) -> None:
        """Pass every message of a queue to a callback; each must be acknowledged."""

        def on_message(
            _channel: object, method: pika.spec.Basic.Deliver, _properties: object, body: bytes
        ) -> None:
            callback(Delivery(queue, body, method.delivery_tag))

        if self._consuming is None:
            raise AmqpError("the connection was never opened")
        self._consuming.basic_consume(queue, on_message)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Acknowledge a delivery to the broker.

        Does nothing if the connection is closed: the broker then delivers the message again.
        """
        if self._consuming is not None and self._consuming.is_open:
            self._consuming.basic_ack(tag, multiple=multiple)

    async def publish(
        self, queue: str, body: bytes, *, message_id: str, expire_s: float | None = None
    ) -> None:
        """Publish to a queue through the exchange; wait until the broker has the message on disk.

        Parameters
        ----------
        queue : `str`
            The routing key.
        body : `bytes`
            The message.
        message_id : `str`
            Identifies the message if the broker returns it.
        expire_s : `float`, optional
            Seconds after which the message is no longer needed.

        Raises
        ------
        UnroutableError
            If no queue of that name is bound.
        AmqpError
            If the connection is closed, or the broker rejects the message or does not confirm it in
            time. After a timeout the connection is closed, and the broker may or may not have the
            message.
        """
        if self._publishing is None or not self._publishing.is_open:
            raise AmqpError("the connection is closed")
        properties = pika.BasicProperties(
            delivery_mode=PERSISTENT,
            message_id=message_id,
            expiration=None if expire_s is None else str(int(expire_s * 1000)),
        )
        self._published += 1
        tag, began = self._published, time.monotonic()
        confirm = self._confirms[tag] = self._loop.create_future()
        try:
            self._publishing.basic_publish(EXCHANGE, queue, body, properties, mandatory=True)
            async with asyncio.timeout(self._publish_timeout):
                confirmed = await confirm
            self.stats = BrokerLinkStats(self.stats.since, unix_time(), time.monotonic() - began)
        except TimeoutError:
            self._drop(f"no confirmation of a message to {queue} in {self._publish_timeout} s")
            raise AmqpError(f"no confirmation in {self._publish_timeout} s") from None
        except pika.exceptions.AMQPError as error:
            raise AmqpError(explain(error)) from error
        finally:
            self._confirms.pop(tag, None)
        if message_id in self._returned:
            self._returned.discard(message_id)
            raise UnroutableError(f"no queue {queue} is bound to the exchange {EXCHANGE}")
        if not confirmed:
            raise AmqpError(f"the broker rejected a message to {queue}")

    async def close(self) -> None:
        """Close the connection; drop it if that takes more than CLOSE_LIMIT. Safe to repeat."""
        connection = self._connection
        if connection is None:
            self._fail("never opened")
            return
        if connection.is_open:
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection.close()
        if not self.closed.done() and not connection.is_closed:
            await asyncio.wait({self.closed}, timeout=CLOSE_LIMIT)
        self._drop("closed")

    async def _connect(self, parameters: pika.ConnectionParameters) -> None:
        opened: asyncio.Future[None] = self._loop.create_future()

        def on_open(_connection: object) -> None:
            if not opened.done():
                opened.set_result(None)

        def on_error(_connection: object, error: BaseException) -> None:
            if not opened.done():
                opened.set_exception(AmqpError(explain(error)))

        def on_close(_connection: object, error: BaseException) -> None:
            if not opened.done():
                opened.set_exception(AmqpError(explain(error)))
            self._fail(explain(error))

        self._connection = AsyncioConnection(
            parameters,
            on_open_callback=on_open,
            on_open_error_callback=on_error,
            on_close_callback=on_close,
            custom_ioloop=self._loop,
        )
        await opened

    async def _channel(self) -> Channel:
        if self._connection is None:
            raise AmqpError("the connection is closed")
        opened: asyncio.Future[Channel] = self._loop.create_future()

        def on_open(channel: Channel) -> None:
            if not opened.done():
                opened.set_result(channel)

        try:
            channel = self._connection.channel(on_open_callback=on_open)
        except pika.exceptions.AMQPError as error:
            raise AmqpError(explain(error)) from error
        await asyncio.wait({opened, self.closed}, return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            raise AmqpError(self.closed.result())
        channel.add_on_close_callback(self._on_channel_closed)
        return opened.result()

    async def _prepare(self, publishing: Channel, consuming: Channel) -> None:
        await self._request(
            publishing.exchange_declare,
            exchange=EXCHANGE,
            exchange_type="direct",
            durable=True,
            channel=publishing,
        )
        publishing.add_on_return_callback(self._on_return)
        await self._request(publishing.confirm_delivery, self._on_confirm, channel=publishing)
        await self._request(consuming.basic_qos, prefetch_count=PREFETCH, channel=consuming)

    async def _request(
        self, method: Callable[..., object], *args: object, channel: Channel, **kwargs: object
    ) -> Method[Any]:
        """Send a request on a channel and wait for its answer."""
        answer: asyncio.Future[Method[Any]] = self._loop.create_future()

        def on_answer(frame: Method[Any]) -> None:
            if not answer.done():
                answer.set_result(frame)

        def on_close(_channel: object, error: BaseException) -> None:
            if not answer.done():
                answer.set_exception(AmqpError(explain(error)))

        channel.add_on_close_callback(on_close)
        try:
            method(*args, callback=on_answer, **kwargs)
        except pika.exceptions.AMQPError as error:
            raise AmqpError(explain(error)) from error
        async with asyncio.timeout(self._publish_timeout):
            await asyncio.wait({answer, self.closed}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise AmqpError(self.closed.result())
        return answer.result()

    @contextlib.asynccontextmanager
    async def _admin_channel(self) -> AsyncIterator[Channel]:
        """Open a separate channel: the broker closes a channel when it rejects a request on it."""
        async with self._admin:
            try:
                async with asyncio.timeout(self._publish_timeout):
                    channel = await self._channel()
            except TimeoutError:
                self._drop("RabbitMQ does not open a channel")
                raise AmqpError("RabbitMQ does not answer") from None
            try:
                yield channel
            except TimeoutError:
                self._drop("RabbitMQ does not answer a request")
                raise AmqpError("RabbitMQ does not answer") from None
            finally:
                if channel.is_open:
                    channel.close()

    def _on_channel_closed(self, channel: Channel, error: BaseException) -> None:
        if channel is self._publishing or channel is self._consuming:
            self._drop(f"RabbitMQ closed a channel: {explain(error)}")

    def _on_return(
        self, _channel: object, _method: object, properties: pika.BasicProperties, _body: bytes
    ) -> None:
        self._returned.add(properties.message_id)

    def _on_confirm(self, frame: Method[Any]) -> None:
        method = frame.method
        confirmed = isinstance(method, pika.spec.Basic.Ack)
        upto = method.delivery_tag
        tags = [tag for tag in self._confirms if tag <= upto] if method.multiple else [upto]
        for tag in tags:
            confirm = self._confirms.get(tag)
            if confirm is not None and not confirm.done():
                confirm.set_result(confirmed)

    def _drop(self, reason: str) -> None:
        """Drop the connection at once, without waiting for the broker."""
        self._fail(reason)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.is_open:
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection.close()
        # A hung broker never answers the close, and pika has no public way to abort the socket.
        transport = connection._transport  # noqa: SLF001
        if transport is not None:
            transport.abort()

    def _fail(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        for confirm in self._confirms.values():
            if not confirm.done():
                confirm.set_exception(AmqpError(reason))
