"""One connection to RabbitMQ, from open to closed: coroutines over pika's callbacks.

An `AmqpConnection` never reconnects: its user waits for `AmqpConnection.closed` and opens another
one. The design depends on three measured facts:

* RabbitMQ confirms a publish to an exchange without a matching queue. Only ``mandatory`` reveals
  that no queue has the message.
* A publish over a half-open connection is never confirmed, so each has a timeout.
* While RabbitMQ is low on memory or disk space it accepts no messages. It tells so only to a
  connection that publishes, and then reads nothing more from this connection: neither requests nor
  acknowledgements. Heartbeats are suspended, so the connection stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from ccarchiver_bridge.amqp import rejections
from ccarchiver_bridge.amqp.confirmations import Confirmations
from ccarchiver_bridge.amqp.errors import AmqpError, BlockedError, UnroutableError
from ccarchiver_core.amqp.errors import (
    describe_failed_connection,
    explain,
    remedy_for_failed_connection,
)
from ccarchiver_core.amqp.parameters import connection_parameters
from ccarchiver_core.amqp.topology import EXCHANGE, EXCHANGE_TYPE
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.runtime.heartbeat import BrokerLinkStats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pika.channel import Channel
    from pika.frame import Method

    from ccarchiver_core.config.addresses import BrokerAddress
    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings


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
        self._confirmations = Confirmations()
        self._requests: dict[asyncio.Future[Method[Any]], Channel] = {}
        self._consumers: dict[str, Callable[[], None]] = {}
        self._admin = asyncio.Lock()
        self._admin_open: Channel | None = None
        """Channel of the last request under the lock, for the next one."""
        self.blocked_reason = ""
        """Why RabbitMQ accepts no messages now, in its own words; empty if it accepts them."""
        self.block_changed = asyncio.Event()
        """Is set when `blocked_reason` changes; the user of the connection clears it."""

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
                errors.append(error)
        remedies = dict.fromkeys(error.remedy for error in errors if error.remedy)
        raise AmqpError("; ".join(str(error) for error in errors), "; ".join(remedies))

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
        except (TimeoutError, AmqpError) as error:
            await link.close()
            if isinstance(error, AmqpError) and error.remedy:
                what, remedy = str(error), error.remedy
            else:
                cause = error.__cause__ or error
                what = describe_failed_connection(cause, limit)
                remedy = remedy_for_failed_connection(settings, cause)
            raise AmqpError(f"RabbitMQ at {broker.text}: {what}", remedy) from None
        except asyncio.CancelledError:
            await link.close()  # the caller has no connection that it could close
            raise
        return link

    @property
    def block_text(self) -> str:
        """Sentence about the present block, for the operator; empty if there is none."""
        if not self.blocked_reason:
            return ""
        return f"RabbitMQ at {self.broker} accepts no messages: {self.blocked_reason}"

    async def declare(self, queue: str) -> QueueState:
        """Declare a durable queue and bind it to the exchange by its own name; safe to repeat.

        Raises
        ------
        AmqpError
            If the broker rejects it, for example because the queue exists with other arguments. The
            text names the queue and has the broker's reason.
        """
        async with self._admin_channel() as channel:
            try:
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
            except AmqpError as error:
                raise rejections.of_queue(queue, error) from error.__cause__
            return QueueState(answer.method.message_count, answer.method.consumer_count)

    async def inspect(self, queue: str) -> QueueState | None:
        """Return the state of a queue; None if the queue does not exist.

        Raises
        ------
        AmqpError
            If RabbitMQ cannot tell, for example because another connection owns the queue, or the
            node of the queue is down.
        """
        async with self._admin_channel() as channel:
            try:
                answer = await self._request(
                    channel.queue_declare, queue=queue, passive=True, channel=channel
                )
            except AmqpError as error:
                if rejections.is_missing(error.__cause__):
                    return None
                raise
            return QueueState(answer.method.message_count, answer.method.consumer_count)

    async def purge(self, queue: str) -> int:
        """Purge a queue and return the number of messages that it had."""
        async with self._admin_channel() as channel:
            answer = await self._request(channel.queue_purge, queue=queue, channel=channel)
            return int(answer.method.message_count)

    def consume(
        self,
        queue: str,
        callback: Callable[[Delivery], None],
        on_cancelled: Callable[[], None] | None = None,
    ) -> None:
        """Pass every message of a queue to a callback; each must be acknowledged.

        RabbitMQ can cancel the consumer while the connection stays open, for example when the queue
        is deleted or its node ends. Then `on_cancelled` is called.

        Raises
        ------
        AmqpError
            If the connection is closed, or blocked, so that RabbitMQ would not read the request.
        """

        def on_message(
            _channel: object, method: pika.spec.Basic.Deliver, _properties: object, body: bytes
        ) -> None:
            callback(Delivery(queue, body, method.delivery_tag))

        if self._consuming is None or not self._consuming.is_open:
            raise AmqpError("the connection is closed")
        self._require_unblocked()
        tag = self._consuming.basic_consume(queue, on_message)
        if on_cancelled is not None:
            self._consumers[tag] = on_cancelled

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
        BlockedError
            If RabbitMQ is low on memory or disk space. It may accept a message later that was on
            the way when the block began.
        AmqpError
            If the connection is closed, or the broker rejects the message or does not confirm it in
            time. After a timeout the connection is closed, and the broker may or may not have the
            message.
        """
        if self._publishing is None or not self._publishing.is_open:
            raise AmqpError("the connection is closed")
        self._require_unblocked()
        properties = pika.BasicProperties(
            delivery_mode=PERSISTENT,
            message_id=message_id,
            expiration=None if expire_s is None else str(int(expire_s * 1000)),
        )
        tag, confirmation = self._confirmations.expect()
        began = time.monotonic()
        try:
            self._publishing.basic_publish(EXCHANGE, queue, body, properties, mandatory=True)
            async with asyncio.timeout(self._publish_timeout):
                is_accepted = await confirmation
            self.stats = BrokerLinkStats(self.stats.since, unix_time(), time.monotonic() - began)
        except TimeoutError:
            self._drop(f"no confirmation of a message to {queue} in {self._publish_timeout} s")
            raise AmqpError(f"no confirmation in {self._publish_timeout} s") from None
        except pika.exceptions.AMQPError as error:
            raise AmqpError(explain(error)) from error
        finally:
            self._confirmations.forget(tag)
        if self._confirmations.was_returned(message_id):
            raise UnroutableError(f"no queue {queue} is bound to the exchange {EXCHANGE}")
        if not is_accepted:
            raise AmqpError(f"RabbitMQ rejected a message to queue {queue} (basic.nack)")

    async def close(self) -> None:
        """Close the connection; drop it if that takes more than CLOSE_LIMIT. Safe to repeat."""
        connection = self._connection
        if connection is None:
            self._fail("never opened")
            return
        _request_close(connection)
        try:
            if not self.closed.done() and not connection.is_closed:
                await asyncio.wait({self.closed}, timeout=CLOSE_LIMIT)
        finally:
            self._drop("closed")

    async def _connect(self, parameters: pika.ConnectionParameters) -> None:
        opened: asyncio.Future[None] = self._loop.create_future()

        def on_open(_connection: object) -> None:
            if not opened.done():
                opened.set_result(None)

        def on_error(_connection: object, error: BaseException) -> None:
            if not opened.done():
                opened.set_exception(rejections.caused_by(error))
            self._fail(explain(error))

        self._connection = AsyncioConnection(
            parameters,
            on_open_callback=on_open,
            on_open_error_callback=on_error,
            on_close_callback=on_error,
            custom_ioloop=self._loop,
        )
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)
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
        try:
            await self._request(
                publishing.exchange_declare,
                exchange=EXCHANGE,
                exchange_type=EXCHANGE_TYPE,
                durable=True,
                channel=publishing,
            )
        except AmqpError as error:
            raise rejections.of_exchange(error) from error.__cause__
        publishing.add_on_return_callback(self._confirmations.on_return)
        consuming.add_on_cancel_callback(self._on_cancel)
        await self._request(
            publishing.confirm_delivery, self._confirmations.on_confirm, channel=publishing
        )
        await self._request(consuming.basic_qos, prefetch_count=PREFETCH, channel=consuming)

    async def _request(
        self, method: Callable[..., object], *args: object, channel: Channel, **kwargs: object
    ) -> Method[Any]:
        """Send a request on a channel and wait for its answer.

        The cause of an `AmqpError` is the error with which RabbitMQ closed the channel, if it did.
        """
        self._require_unblocked()
        answer: asyncio.Future[Method[Any]] = self._loop.create_future()

        def on_answer(frame: Method[Any]) -> None:
            if not answer.done():
                answer.set_result(frame)

        self._requests[answer] = channel
        try:
            method(*args, callback=on_answer, **kwargs)
            async with asyncio.timeout(self._publish_timeout):
                await asyncio.wait({answer, self.closed}, return_when=asyncio.FIRST_COMPLETED)
        except pika.exceptions.AMQPError as error:
            raise rejections.caused_by(error) from error
        finally:
            self._requests.pop(answer, None)
        if not answer.done():
            raise AmqpError(self.closed.result())
        return answer.result()

    @contextlib.asynccontextmanager
    async def _admin_channel(self) -> AsyncIterator[Channel]:
        """Return a separate channel: the broker closes a channel when it rejects a request on it.

        The channel stays open for the next request. To open one for each check of a queue would
        take most of the CPU time of an idle bridge.
        """
        async with self._admin:
            self._require_unblocked()
            channel = self._admin_open
            if channel is None or not channel.is_open:
                try:
                    async with asyncio.timeout(self._publish_timeout):
                        channel = self._admin_open = await self._channel()
                except TimeoutError:
                    self._drop("RabbitMQ does not open a channel")
                    raise AmqpError("RabbitMQ does not answer") from None
            try:
                yield channel
            except TimeoutError:
                self._drop("RabbitMQ does not answer a request")
                raise AmqpError("RabbitMQ does not answer") from None
            except BaseException:
                # The answer may still arrive, so the next request needs another channel.
                self._admin_open = None
                if channel.is_open:
                    channel.close()
                raise

    def _require_unblocked(self) -> None:
        if self.blocked_reason:
            raise self._blocked_error()

    def _blocked_error(self) -> BlockedError:
        return BlockedError(self.block_text, rejections.BLOCKED_REMEDY)

    def _on_blocked(self, _connection: object, frame: Method[Any]) -> None:
        """Fail what is in flight: RabbitMQ reads nothing more until it ends the block."""
        self.blocked_reason = frame.method.reason or "it has not told why"
        self.block_changed.set()
        self._confirmations.fail(self._blocked_error())
        for request in self._requests:
            if not request.done():
                request.set_exception(self._blocked_error())

    def _on_unblocked(self, _connection: object, _frame: object) -> None:
        self.blocked_reason = ""
        self.block_changed.set()

    def _on_cancel(self, frame: Method[Any]) -> None:
        on_cancelled = self._consumers.pop(frame.method.consumer_tag, None)
        if on_cancelled is not None:
            on_cancelled()

    def _on_channel_closed(self, channel: Channel, error: BaseException) -> None:
        for request, its_channel in self._requests.items():
            if its_channel is channel and not request.done():
                request.set_exception(rejections.caused_by(error))
        if channel is self._publishing or channel is self._consuming:
            self._drop(f"RabbitMQ closed a channel: {explain(error)}")

    def _drop(self, reason: str) -> None:
        """Drop the connection at once, without waiting for the broker."""
        self._fail(reason)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        _request_close(connection)
        # A hung broker never answers the close, and pika has no public way to abort the socket.
        transport = connection._transport  # noqa: SLF001
        if transport is not None:
            transport.abort()

    def _fail(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        self._confirmations.fail(AmqpError(reason))


def _request_close(connection: AsyncioConnection) -> None:
    """Begin the clean close of a connection, or abort its opening; pika completes it later."""
    if not connection.is_closing and not connection.is_closed:
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()
