"""One peer's connection to RabbitMQ: it consumes one queue, publishes, and comes back after every loss.

A thread of its own does nothing but input and output, so that a peer that is busy with files still answers the broker's
heartbeats. What is to be published waits in an outbox and leaves it only when the broker has confirmed it; so a broker
that restarts costs a repeated message at worst, never a lost one.
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

    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.site_sections import BrokerAddress
    from ccarchiver_sim.peers.common.runloop import RunLoop

MESSAGE_EXCHANGE: Final = "message"
"""The exchange all Python peers publish to: direct, durable, each queue bound with its own name."""

DEFAULT_EXCHANGE: Final = ""
"""The exchange the Forwarder publishes to: it takes a queue's name as routing key."""

FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 2.0
"""Waits between attempts to connect double from the first to the longest: quick after a blip, gentle in an outage."""

IDLE_S: Final = 0.5
"""How long the thread sleeps without anything to do; publishing and stopping wake it at once or after this."""

QUEUE_POLL_S: Final = 0.2
"""How often to look for a queue that is to be declared by another; well below any deadline for an answer."""

PATIENCE_S: Final = 1.0
"""How long a queue may be refused at start: a consumer that was killed a moment ago may still hold it."""

FLUSH_S: Final = 5.0
"""What a peer that ends waits for its outbox: more than a living broker needs, less than supervisors allow."""

PREFETCH: Final = 50
"""Deliveries a peer that acknowledges may hold: nine files of five images, so that it is never idle for the network."""

NOT_FOUND: Final = 404
ACCESS_REFUSED: Final = 403

log = logging.getLogger(__name__)


CONNECTION_ERRORS = (pika.exceptions.AMQPError, AMQPConnectorException, OSError)
"""A broker is away. A handshake that a hanging one does not answer is none of pika's other errors."""


@dataclass(frozen=True)
class Intake:
    """How a peer consumes its queue.

    Parameters
    ----------
    queue : `str`
        The queue.
    declare : `bool`
        Declare the queue, the exchange and the binding; otherwise the queue must be there.
    exclusive : `bool`
        Be its only consumer, and take messages without acknowledging them, as the Forwarder does.
    wait_for_queue : `bool`
        If the queue is missing try again; otherwise the peer ends with an error.
    """

    queue: str
    declare: bool = True
    exclusive: bool = False
    wait_for_queue: bool = True


@dataclass(frozen=True)
class Delivery:
    """A message as the broker handed it over; `tag` is valid only on the connection numbered `epoch`."""

    body: bytes
    tag: int
    epoch: int


@dataclass(frozen=True)
class _Publish:
    queue: str
    body: bytes


@dataclass(frozen=True)
class _Settle:
    delivery: Delivery


class RabbitLink:
    """A connection that consumes one queue and publishes; safe to use from any thread.

    Parameters
    ----------
    loop : `RunLoop`
        The peer's run loop: its stop event ends the link, and fatal errors go there.
    broker : `BrokerAddress`
        Where it is.
    credentials : `Credentials`
        User and password.
    intake : `Intake`
        What to consume and how.
    exchange : `str`
        Where to publish.
    on_delivery : callable
        Called in the link's thread with each `Delivery`; it must return at once.
    on_serving : callable
        Called in the link's thread each time consuming has begun.
    """

    def __init__(
        self,
        *,
        loop: RunLoop,
        broker: BrokerAddress,
        credentials: Credentials,
        intake: Intake,
        exchange: str,
        on_delivery: Callable[[Delivery], None],
        on_serving: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._address = broker.text
        self._parameters = connection_parameters(broker, credentials)
        self._intake = intake
        self._exchange = exchange
        self._on_delivery = on_delivery
        self._on_serving = on_serving
        self._outbox: deque[_Publish | _Settle] = deque()
        self._empty = threading.Condition()
        self._live: BlockingConnection | None = None
        self._epoch = 0
        self._served = False
        self._patience_ends = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect, in the background."""
        self._patience_ends = time.monotonic() + PATIENCE_S
        self._thread = self._loop.spawn("rabbit", self._run)

    def publish(self, queue: str, body: bytes) -> None:
        """Queue a message for publishing; it goes out in order and survives lost connections."""
        self._outbox.append(_Publish(queue, body))
        self._wake()

    def publish_later(self, queue: str, body: bytes, delay: float) -> None:
        """Publish after `delay` seconds, without holding up anything else; not after the peer was stopped."""
        if delay <= 0:
            self.publish(queue, body)
            return
        timer = threading.Timer(delay, self.publish, (queue, body))
        timer.daemon = True
        timer.start()

    def settle(self, delivery: Delivery) -> None:
        """Acknowledge a delivery once all that was published before has been confirmed."""
        if not self._intake.exclusive:
            self._outbox.append(_Settle(delivery))
            self._wake()

    def flush(self, timeout: float = FLUSH_S) -> bool:
        """Wait until the outbox is empty; False if it is not after `timeout` seconds."""
        with self._empty:
            return self._empty.wait_for(lambda: not self._outbox, timeout)

    def close(self) -> None:
        """Send what is left, within `FLUSH_S`, then disconnect."""
        if self._live is not None and not self.flush():
            log.warning("ending with %d messages not sent to RabbitMQ at %s", len(self._outbox), self._address)
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
        away = False
        while not self._closing.is_set():
            try:
                connection = pika.BlockingConnection(self._parameters)
            except CONNECTION_ERRORS as error:
                if isinstance(error, pika.exceptions.ProbableAuthenticationError):
                    raise PeerError(
                        f"RabbitMQ at {self._address} refuses user {self._user}; correct iip_cred.yaml"
                    ) from error
                if not away:
                    log.warning("no RabbitMQ at %s (%s); trying until it is there", self._address, _reason(error))
                away = True
                self._closing.wait(wait)
                wait = min(2 * wait, LONGEST_RETRY_S)
                continue
            if away:
                log.info("RabbitMQ at %s is there", self._address)
            away, wait = False, FIRST_RETRY_S
            self._use(connection)

    @property
    def _user(self) -> str:
        return str(self._parameters.credentials.username)

    def _use(self, connection: BlockingConnection) -> None:
        """Serve over one connection until it breaks or the peer ends."""
        try:
            self._serve(connection)
        except pika.exceptions.ChannelClosedByBroker as error:
            self._refused(error)
        except CONNECTION_ERRORS as error:
            log.warning("lost RabbitMQ at %s (%s); connecting again", self._address, _reason(error))
        finally:
            self._live = None
            _close_quietly(connection)

    def _refused(self, error: pika.exceptions.ChannelClosedByBroker) -> None:
        """Handle a channel the broker closed: end if an operator has to act, else try again in a while."""
        if error.reply_code == ACCESS_REFUSED and not self._served and time.monotonic() > self._patience_ends:
            raise PeerError(
                f"queue {self._intake.queue} at {self._address} is refused ({error.reply_text}): another process "
                "consumes it; end that one or give this one another --consume-queue"
            ) from error
        log.warning("RabbitMQ at %s: %s %s; connecting again", self._address, error.reply_code, error.reply_text)
        self._closing.wait(FIRST_RETRY_S)

    def _open_channel(self, connection: BlockingConnection) -> BlockingChannel | None:
        """Open a channel on which the queue exists; None if the peer ends while waiting for it."""
        queue = self._intake.queue
        waiting = False
        while not self._closing.is_set():
            channel = connection.channel()
            channel.confirm_delivery()
            if self._intake.declare:
                channel.exchange_declare(MESSAGE_EXCHANGE, exchange_type="direct", durable=True)
                channel.queue_declare(queue, durable=True)
                channel.queue_bind(queue, MESSAGE_EXCHANGE, routing_key=queue)
                return channel
            try:
                channel.queue_declare(queue, passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code != NOT_FOUND:
                    raise
                if not self._intake.wait_for_queue:
                    raise PeerError(
                        f"queue {queue} does not exist at {self._address}; the archiver declares it when it pairs: "
                        "start the archiver first or use --wait-for-queue"
                    ) from error
            else:
                return channel
            if not waiting:
                log.info(
                    "queue %s at %s is not there yet; waiting for the archiver to declare it", queue, self._address
                )
            waiting = True
            connection.sleep(QUEUE_POLL_S)
        return None

    def _serve(self, connection: BlockingConnection) -> None:
        channel = self._open_channel(connection)
        if channel is None:
            return
        queue = self._intake.queue
        if not self._intake.exclusive:
            channel.basic_qos(prefetch_count=PREFETCH)
        self._epoch += 1
        epoch = self._epoch

        def on_message(
            _channel: BlockingChannel, method: pika.spec.Basic.Deliver, _properties: pika.BasicProperties, body: bytes
        ) -> None:
            self._on_delivery(Delivery(body=body, tag=method.delivery_tag, epoch=epoch))

        channel.basic_consume(queue, on_message, auto_ack=self._intake.exclusive, exclusive=self._intake.exclusive)
        self._live = connection
        self._served = True
        log.info("consuming %s at %s", queue, self._address)
        self._on_serving()
        while not self._closing.is_set():
            self._drain(channel, epoch)
            connection.process_data_events(time_limit=IDLE_S)

    def _drain(self, channel: BlockingChannel, epoch: int) -> None:
        """Send the outbox; an entry leaves it only when the broker has confirmed it."""
        while self._outbox:
            entry = self._outbox[0]
            if isinstance(entry, _Publish):
                self._send(channel, entry)
            elif entry.delivery.epoch == epoch:
                channel.basic_ack(entry.delivery.tag)
            # A delivery of an earlier connection cannot be acknowledged: it comes again, which peers are made for.
            self._outbox.popleft()
        with self._empty:
            self._empty.notify_all()

    def _send(self, channel: BlockingChannel, entry: _Publish) -> None:
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value)
        try:
            channel.basic_publish(self._exchange, entry.queue, entry.body, properties, mandatory=True)
        except pika.exceptions.UnroutableError:
            # The real peers publish without looking, so this is lost for them too; here at least it is said.
            log.error("no queue takes what goes to %s at %s; lost: %s", entry.queue, self._address, entry.body[:200])  # noqa: TRY400 - no traceback: the queue is the whole story


def _close_quietly(connection: BlockingConnection) -> None:
    """Close a connection that may be closed or broken already."""
    if not connection.is_open:
        return
    try:
        connection.close()
    except CONNECTION_ERRORS as error:
        log.debug("closing a connection: %s", _reason(error))


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _nothing() -> None:
    """Wake the thread: handing it anything to call does."""
