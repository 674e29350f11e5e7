"""A listener that receives a copy of each message published on the archiver's exchange."""

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pika
import yaml

from ccarchiver_sim.pace import MEASURE_EVERY_S, Deadline
from ccarchiver_sim.testbed.brokers import PrivateRabbit
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

EXCHANGE = "message"
EXCHANGE_TYPE = "direct"
WORK_LIMIT_S = 10.0
"""Limit for one operation on the channel; a binding takes a millisecond."""


class WireTap:
    """A separate queue, bound to the routing keys of interest.

    The Forwarder publishes through the default exchange, which this class cannot observe.

    Parameters
    ----------
    rabbit, vhost
        Broker and virtual host on which to listen.
    """

    def __init__(self, rabbit: PrivateRabbit, vhost: str) -> None:
        credentials = pika.PlainCredentials(rabbit.user, rabbit.password)
        self._connection = pika.BlockingConnection(
            pika.ConnectionParameters(LOOPBACK, rabbit.port, vhost, credentials, heartbeat=0)
        )
        self._channel = self._connection.channel()
        # Declared as the archiver does; the first to declare it creates it.
        self._channel.exchange_declare(EXCHANGE, EXCHANGE_TYPE, durable=True)
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.basic_consume(self._queue, self._record, auto_ack=True)
        self._published: list[tuple[str, dict[str, Any]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wiretap", daemon=True)
        self._thread.start()

    def listen_to(self, *keys: str) -> None:
        """Receive the messages published with these routing keys from now on.

        Raises
        ------
        TimeoutError
            If RabbitMQ does not complete the operation in time.
        """
        for key in keys:
            self._carry_out(
                functools.partial(self._channel.queue_bind, self._queue, EXCHANGE, key),
                f"bind {key}",
            )

    def declare(self, queue: str) -> None:
        """Declare a queue as the archiver does: durable, without arguments, bound under its name.

        Raises
        ------
        TimeoutError
            If RabbitMQ does not complete the operation in time.
        """
        self._carry_out(functools.partial(self._declare, queue), f"make the queue {queue}")

    def published(
        self, message_type: str | None = None, key: str | None = None, **wanted: object
    ) -> list[dict[str, Any]]:
        """Return the received messages with a type, queue and field values, oldest first."""
        return [
            message
            for to, message in list(self._published)
            if (key is None or to == key)
            and (message_type is None or message.get("MSG_TYPE") == message_type)
            and all(message.get(name) == value for name, value in wanted.items())
        ]

    def close(self) -> None:
        """Stop listening; safe to repeat."""
        self._stop.set()
        self._thread.join()
        if self._connection.is_open:
            self._connection.close()

    def _declare(self, queue: str) -> None:
        self._channel.queue_declare(queue, durable=True)
        self._channel.queue_bind(queue, EXCHANGE, queue)

    def _carry_out(self, work: Callable[[], object], what: str) -> None:
        """Run a function on the thread that owns the channel and wait until it has ended."""
        done = threading.Event()

        def do() -> None:
            work()
            done.set()

        self._connection.add_callback_threadsafe(do)
        deadline = Deadline(WORK_LIMIT_S)
        while not done.wait(MEASURE_EVERY_S):
            if deadline.has_passed():
                raise TimeoutError(f"RabbitMQ did not {what} within {WORK_LIMIT_S:g} s")

    def _record(
        self, _channel: object, method: pika.spec.Basic.Deliver, _properties: object, body: bytes
    ) -> None:
        message = yaml.load(body, Loader=yaml.CSafeLoader)
        self._published.append(
            (method.routing_key, message if isinstance(message, dict) else {"": message})
        )

    def _listen(self) -> None:
        while not self._stop.is_set():
            self._connection.process_data_events(time_limit=0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
