"""The test's side of RabbitMQ: it acts as Forwarder, Controller and OODS, with plain pika."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pika
import yaml

from ccarchiver_core.config.credentials import Credentials
from ccarchiver_sim.pace import Deadline
from tests.core.redis_helpers import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ccarchiver_sim.testbed.brokers import PrivateRabbit

ACKS = "cc_foreman_ack_publish"
TELEMETRY = "telemetry_queue"
FROM_OODS = "oods_publish_to_cc"
FROM_CONTROLLER = "archive_ctrl_publish"
CONTROLLER = "archive_ctrl_consume"
FORWARDER = "f99_consume"

POLL_S = 0.01


def credentials_of(rabbit: PrivateRabbit) -> Credentials:
    """Return the credentials of a private RabbitMQ."""
    return Credentials.model_validate(
        {"service_user": rabbit.user, "service_passwd": rabbit.password}
    )


@dataclass(frozen=True)
class WireMessage:
    """One message that was received."""

    queue: str
    body: bytes
    properties: Any
    redelivered: bool

    @property
    def fields(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.body))

    @property
    def kind(self) -> str:
        return str(self.fields["MSG_TYPE"])


class Peer:
    """All peers of the bridge on RabbitMQ. Made with `on_the_wire`."""

    def __init__(self, rabbit: PrivateRabbit, vhost: str) -> None:
        login = pika.PlainCredentials(rabbit.user, rabbit.password)
        parameters = pika.ConnectionParameters(
            "127.0.0.1", rabbit.port, vhost, login, heartbeat=0, blocked_connection_timeout=LIMIT_S
        )
        self._connection = pika.BlockingConnection(parameters)
        self.channel: Any = self._connection.channel()
        self.received: list[WireMessage] = []
        """All received messages in order, without health checks."""
        self.health_checks: list[WireMessage] = []
        self.answers_health_checks = True
        """Whether the Controller answers health checks."""
        self._answers: dict[object, dict[str, object]] = {}
        """What `acknowledge_each` answers, by ACK_ID."""

    def declare(self, *queues: str) -> None:
        """Declare and bind queues as the contract describes them."""
        self.channel.exchange_declare("message", "direct", durable=True)
        for queue in queues:
            self.channel.queue_declare(queue, durable=True)
            self.channel.queue_bind(queue, "message", queue)

    def listen(self, *queues: str) -> None:
        """Consume queues without acknowledging, as the Forwarder does."""
        self.declare(*queues)
        for queue in queues:
            self.channel.basic_consume(
                queue, self._handler(queue), auto_ack=True, consumer_tag=queue
            )

    def _handler(self, queue: str) -> Callable[[Any, Any, Any, bytes], None]:
        def on_message(
            _channel: object,
            method: pika.spec.Basic.Deliver,
            properties: pika.BasicProperties,
            body: bytes,
        ) -> None:
            message = WireMessage(queue, body, properties, bool(method.redelivered))
            if message.kind != "ARCHIVE_HEALTH_CHECK":
                self.received.append(message)
                answer = self._answers.get(message.fields.get("ACK_ID"))
                if answer is not None:
                    self.acknowledge(message, **answer)
                return
            self.health_checks.append(message)
            if self.answers_health_checks:
                fields = message.fields
                self.send(
                    ACKS,
                    MSG_TYPE="ARCHIVE_HEALTH_CHECK_ACK",
                    COMPONENT="ARCHIVE_CTRL",
                    ACK_BOOL="TRUE",
                    ACK_ID=fields["ACK_ID"],
                    SESSION_ID=fields["SESSION_ID"],
                )

        return on_message

    def stop_listening(self, queue: str) -> None:
        """Stop consuming a queue, as a Forwarder that died."""
        self.channel.basic_cancel(queue)

    def send(self, queue: str, /, **fields: object) -> None:
        """Send a message as the Python peers do."""
        self.send_raw(queue, yaml.safe_dump(fields).encode())

    def send_raw(self, queue: str, body: bytes) -> None:
        """Send a message with these bytes."""
        self.channel.basic_publish("message", queue, body)

    def messages_in(self, queue: str) -> int:
        """Return the number of messages in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def consumers_of(self, queue: str) -> int:
        """Return the number of consumers of a queue; 0 if it does not exist."""
        channel = self._connection.channel()
        try:
            return int(channel.queue_declare(queue, passive=True).method.consumer_count)
        except pika.exceptions.ChannelClosedByBroker:
            return 0
        finally:
            if channel.is_open:
                channel.close()

    def replace(self, queue: str, arguments: dict[str, object]) -> None:
        """Delete a queue and declare it with other properties, before another client does."""
        deadline = Deadline(LIMIT_S)
        while True:
            channel = self._connection.channel()
            channel.queue_delete(queue)
            try:
                channel.queue_declare(queue, durable=True, arguments=arguments)
            except pika.exceptions.ChannelClosedByBroker:
                assert not deadline.has_passed(), "the other client always declares it first"
            else:
                channel.close()
                return

    def poll(self) -> None:
        """Receive the messages that have arrived."""
        self._connection.process_data_events(0)

    async def wait_until(
        self, condition: Callable[[], object], what: str, limit: float = LIMIT_S
    ) -> None:
        """Receive messages until a condition holds."""
        deadline = Deadline(limit)
        while True:
            self.poll()
            if condition():
                return
            assert not deadline.has_passed(), (
                f"in vain for {what}; received {[message.kind for message in self.received]}"
            )
            await asyncio.sleep(POLL_S)

    async def receive(self, kind: str, image: str | None = None, count: int = 1) -> WireMessage:
        """Wait for the count-th message of a kind."""

        def found() -> list[WireMessage]:
            return [
                message
                for message in self.received
                if message.kind == kind
                and (image is None or message.fields.get("IMAGE_ID") == image)
            ]

        await self.wait_until(lambda: len(found()) >= count, f"{kind} {image or ''}")
        return found()[count - 1]

    async def poll_for(self, seconds: float = 0.4) -> None:
        """Receive messages for a while, to check that some do not arrive."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.poll()
            await asyncio.sleep(POLL_S)

    def acknowledge(self, message: WireMessage, **more: object) -> None:
        """Answer a message as its receiver does."""
        fields = message.fields
        answer = {"MSG_TYPE": f"{fields['MSG_TYPE']}_ACK", "ACK_ID": fields["ACK_ID"]}
        if "IMAGE_ID" in fields:
            answer["IMAGE_ID"] = fields["IMAGE_ID"]
        self.send(fields["REPLY_QUEUE"], **{**answer, **more})

    def acknowledge_each(self, message: WireMessage, **more: object) -> None:
        """Answer a message and each later repetition of it, as the deployed Controller does."""
        self._answers[message.fields["ACK_ID"]] = more
        self.acknowledge(message, **more)

    def close(self) -> None:
        """Close the connection."""
        if self._connection.is_open:
            self._connection.close()


@asynccontextmanager
async def on_the_wire(rabbit: PrivateRabbit, vhost: str, *listening: str) -> AsyncIterator[Peer]:
    """Connect as the peers for the duration of a block."""
    peer = Peer(rabbit, vhost)
    try:
        peer.listen(*listening)
        yield peer
    finally:
        peer.close()
