"""A peer's connection to RabbitMQ, which consumes one queue, publishes, and reconnects.

A separate thread does only input and output, so that a peer that is busy with files still answers
the broker's heartbeats. A message to publish stays in an outbox until the broker has confirmed it.
A restart of the broker can therefore repeat a message, but never lose one. A message that the
broker rejects is sent again later, after those that follow it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from ccarchiver_sim.peers.common.rabbit_address import connection_parameters
from ccarchiver_sim.peers.common.runloop import PeerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

    from ccarchiver_core.config.addresses import BrokerAddress
    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_sim.peers.common.runloop import RunLoop

MESSAGE_EXCHANGE: Final = "message"
"""Exchange to which all Python peers publish: direct, durable, each queue bound with its own
name."""

DEFAULT_EXCHANGE: Final = ""
"""Exchange to which the Forwarder publishes: the routing key is a queue's name."""

FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 2.0
"""The wait between attempts to connect doubles from the first to the longest: short after an
interruption, long in an outage."""

IDLE_S: Final = 0.5
"""Time that the thread waits without work; publishing and stopping end the wait at once or after
this time."""

REJECTED_RETRY_S: Final = 0.5
"""Wait before a message that the broker rejected is sent again: below the deadline of an answer."""

QUEUE_POLL_S: Final = 0.2
"""Interval of checks for a queue that another program declares; well below any deadline for an
answer."""

IN_USE_GRACE_S: Final = 1.0
"""Time after the start in which a rejected queue is no error: a consumer that was just killed may
still hold it."""

FLUSH_S: Final = 5.0
"""Time that an ending peer waits for its outbox: more than a working broker needs, less than
supervisors allow."""

PREFETCH: Final = 50
"""Unacknowledged deliveries that a peer may hold: the nine files of five images, so that it never
waits for the network."""

NOT_FOUND: Final = 404
ACCESS_REFUSED: Final = 403

log = logging.getLogger(__name__)


CONNECTION_ERRORS = (pika.exceptions.AMQPError, AMQPConnectorException, OSError)
"""Errors of an unavailable broker. A handshake that a hanging broker does not answer raises an
AMQPConnectorException, which is not an AMQPError."""


@dataclass(frozen=True)
class ConsumerOptions:
    """How a peer consumes its queue.

    Parameters
    ----------
    queue : `str`
        The queue.
    declare : `bool`
        Whether to declare the queue, the exchange and the binding; otherwise the queue must exist.
    exclusive : `bool`
        Whether to be the only consumer, without acknowledgements, as the Forwarder is.
    wait_for_queue : `bool`
        Whether to retry if the queue is missing; otherwise the peer ends with an error.
    prefetch : `int`
        Unacknowledged deliveries that the peer may hold.
    """

    queue: str
    declare: bool = True
    exclusive: bool = False
    wait_for_queue: bool = True
    prefetch: int = PREFETCH


@dataclass(frozen=True)
class Delivery:
    """A message from the broker; `tag` is valid only on the connection numbered `epoch`."""

    body: bytes
    tag: int
    epoch: int


@dataclass(frozen=True)
class _Publish:
    queue: str
    body: bytes


@dataclass(frozen=True)
class _Ack:
    delivery: Delivery


class RabbitConnection:
    """A connection that consumes one queue and publishes; safe to use from any thread.

    Parameters
    ----------
    loop : `RunLoop`
        The peer's run loop; its stop event ends the connection, and it receives fatal errors.
    broker : `BrokerAddress`
        Address of the broker.
    credentials : `Credentials`
        User and password.
    options : `ConsumerOptions`
        Queue and how to consume it.
    exchange : `str`
        Exchange to which to publish.
    on_delivery : callable
        Called in the connection's thread with each `Delivery`; it must return at once.
    on_serving : callable
        Called in the connection's thread each time consuming has begun.
    """

    def __init__(
        self,
        *,
        loop: RunLoop,
        broker: BrokerAddress,
        credentials: Credentials,
        options: ConsumerOptions,
        exchange: str,
        on_delivery: Callable[[Delivery], None],
        on_serving: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._address = broker.text
        self._parameters = connection_parameters(broker, credentials)
        self._options = options
        self._exchange = exchange
        self._on_delivery = on_delivery
        self._on_serving = on_serving
        self._outbox: deque[_Publish | _Ack] = deque()
        self._empty = threading.Condition()
        self._live: BlockingConnection | None = None
        self._epoch = 0
        self._served = False
        self._grace_ends = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect in the background."""
        self._grace_ends = time.monotonic() + IN_USE_GRACE_S
        self._thread = self._loop.spawn("rabbit", self._run)

    def publish(self, queue: str, body: bytes) -> None:
        """Put a message into the outbox, which keeps the sequence and survives lost connections."""
        self._outbox.append(_Publish(queue, body))
        self._wake()

    def publish_later(self, queue: str, body: bytes, delay: float) -> None:
        """Publish a message after `delay` seconds without blocking.

        Nothing is published after the peer was stopped.
        """
        if delay <= 0:
            self.publish(queue, body)
            return
        timer = threading.Timer(delay, self.publish, (queue, body))
        timer.daemon = True
        timer.start()

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a delivery after all earlier publications are confirmed."""
        if not self._options.exclusive:
            self._outbox.append(_Ack(delivery))
            self._wake()

    def flush(self, timeout: float = FLUSH_S) -> bool:
        """Wait until the outbox is empty; return whether it is within `timeout` seconds."""
        with self._empty:
            return self._empty.wait_for(lambda: not self._outbox, timeout)

    def close(self) -> None:
        """Send the rest of the outbox within `FLUSH_S`, then disconnect."""
        if self._live is not None and not self.flush():
            log.warning(
                "ending with %d messages not sent to RabbitMQ at %s",
                len(self._outbox),
                self._address,
            )
        self._closing.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(FLUSH_S)

    def _wake(self) -> None:
        live = self._live
        if live is None:
            return
        try:
            live.add_callback_threadsafe(_nothing)
        except pika.exceptions.ConnectionWrongStateError:
            log.debug("connection to %s is closing; the outbox goes to the next one", self._address)

    def _run(self) -> None:
        wait = FIRST_RETRY_S
        is_unavailable = False
        while not self._closing.is_set():
            try:
                connection = pika.BlockingConnection(self._parameters)
            except CONNECTION_ERRORS as error:
                if isinstance(error, pika.exceptions.ProbableAuthenticationError):
                    raise PeerError(
                        f"RabbitMQ at {self._address} rejects user {self._user}; "
                        "correct iip_cred.yaml"
                    ) from error
                if not is_unavailable:
                    log.warning(
                        "no RabbitMQ at %s (%s); retrying until it answers",
                        self._address,
                        _reason(error),
                    )
                is_unavailable = True
                self._closing.wait(wait)
                wait = min(2 * wait, LONGEST_RETRY_S)
                continue
            if is_unavailable:
                log.info("RabbitMQ at %s answers", self._address)
            is_unavailable, wait = False, FIRST_RETRY_S
            self._use(connection)

    @property
    def _user(self) -> str:
        return str(self._parameters.credentials.username)

    def _use(self, connection: BlockingConnection) -> None:
        """Serve over one connection until it is lost or the peer ends."""
        try:
            self._serve(connection)
        except pika.exceptions.ChannelClosedByBroker as error:
            self._on_channel_closed(error)
        except CONNECTION_ERRORS as error:
            log.warning("lost RabbitMQ at %s (%s); reconnecting", self._address, _reason(error))
        finally:
            self._live = None
            _close_quietly(connection)

    def _on_channel_closed(self, error: pika.exceptions.ChannelClosedByBroker) -> None:
        """Raise PeerError if the broker has closed the channel for an operator's error, or wait."""
        if (
            error.reply_code == ACCESS_REFUSED
            and not self._served
            and time.monotonic() > self._grace_ends
        ):
            raise PeerError(
                f"queue {self._options.queue} at {self._address} is in use ({error.reply_text}): "
                "another process consumes it; "
                "stop that process or set another --consume-queue for this one"
            ) from error
        log.warning(
            "RabbitMQ at %s: %s %s; reconnecting", self._address, error.reply_code, error.reply_text
        )
        self._closing.wait(FIRST_RETRY_S)

    def _open_channel(self, connection: BlockingConnection) -> BlockingChannel | None:
        """Return a channel on which the queue exists; None if the peer ends before."""
        queue = self._options.queue
        waiting = False
        while not self._closing.is_set():
            channel = connection.channel()
            channel.confirm_delivery()
            if self._options.declare:
                channel.exchange_declare(MESSAGE_EXCHANGE, exchange_type="direct", durable=True)
                channel.queue_declare(queue, durable=True)
                channel.queue_bind(queue, MESSAGE_EXCHANGE, routing_key=queue)
                return channel
            try:
                channel.queue_declare(queue, passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code != NOT_FOUND:
                    raise
                if not self._options.wait_for_queue:
                    raise PeerError(
                        f"queue {queue} does not exist at {self._address}; the archiver declares "
                        "it when it pairs: start the archiver first or use --wait-for-queue"
                    ) from error
            else:
                return channel
            if not waiting:
                log.info(
                    "queue %s at %s does not exist yet; waiting for the archiver to declare it",
                    queue,
                    self._address,
                )
            waiting = True
            connection.sleep(QUEUE_POLL_S)
        return None

    def _serve(self, connection: BlockingConnection) -> None:
        channel = self._open_channel(connection)
        if channel is None:
            return
        queue = self._options.queue
        if not self._options.exclusive:
            channel.basic_qos(prefetch_count=self._options.prefetch)
        self._epoch += 1
        epoch = self._epoch

        def on_message(
            _channel: BlockingChannel,
            method: pika.spec.Basic.Deliver,
            _properties: pika.BasicProperties,
            body: bytes,
        ) -> None:
            self._on_delivery(Delivery(body=body, tag=method.delivery_tag, epoch=epoch))

        channel.basic_consume(
            queue, on_message, auto_ack=self._options.exclusive, exclusive=self._options.exclusive
        )
        self._live = connection
        self._served = True
        log.info("consuming %s at %s", queue, self._address)
        self._on_serving()
        while not self._closing.is_set():
            self._drain(channel, epoch)
            connection.process_data_events(time_limit=IDLE_S)

    def _drain(self, channel: BlockingChannel, epoch: int) -> None:
        """Send the outbox; each entry stays in it until the broker has confirmed it."""
        while self._outbox:
            entry = self._outbox[0]
            if isinstance(entry, _Publish):
                self._send(channel, entry)
            elif entry.delivery.epoch == epoch:
                channel.basic_ack(entry.delivery.tag)
            # A delivery of an earlier connection cannot be acknowledged: it is redelivered, which
            # peers can handle.
            self._outbox.popleft()
        with self._empty:
            self._empty.notify_all()

    def _send(self, channel: BlockingChannel, entry: _Publish) -> None:
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value)
        try:
            channel.basic_publish(
                self._exchange, entry.queue, entry.body, properties, mandatory=True
            )
        except pika.exceptions.UnroutableError:
            # The real peers publish without a check and also lose the message; here the log at
            # least reports it.
            log.error(  # noqa: TRY400 - the queue explains it
                "no queue for messages to %s at %s; lost: %s",
                entry.queue,
                self._address,
                entry.body[:200],
            )
        except pika.exceptions.NackError:
            # The outbox must not wait for one full queue: others wait for their answers.
            log.warning(
                "queue %s at %s rejects a message; sending it again in %g s",
                entry.queue,
                self._address,
                REJECTED_RETRY_S,
            )
            self.publish_later(entry.queue, entry.body, REJECTED_RETRY_S)


def _close_quietly(connection: BlockingConnection) -> None:
    """Close a connection that may already be closed or lost."""
    if not connection.is_open:
        return
    try:
        connection.close()
    except CONNECTION_ERRORS as error:
        log.debug("closing a connection: %s", _reason(error))


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _nothing() -> None:
    """Do nothing: the call itself wakes the thread."""
