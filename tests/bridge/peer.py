"""The test's side of RabbitMQ: it plays the Forwarder, the Controller and the OODS, with pika alone."""

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
    """Give the user a private RabbitMQ has."""
    return Credentials.model_validate({"service_user": rabbit.user, "service_passwd": rabbit.password})


@dataclass(frozen=True)
class WireMessage:
    """One message that came."""

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
    """Everybody else on the wire; make it with `on_the_wire`."""

    def __init__(self, rabbit: PrivateRabbit, vhost: str) -> None:
        login = pika.PlainCredentials(rabbit.user, rabbit.password)
        parameters = pika.ConnectionParameters(
            "127.0.0.1", rabbit.port, vhost, login, heartbeat=0, blocked_connection_timeout=LIMIT_S
        )
        self._connection = pika.BlockingConnection(parameters)
        self.channel: Any = self._connection.channel()
        self.heard: list[WireMessage] = []
        """Every message that came, in order, health checks left out."""
        self.health_checks: list[WireMessage] = []
        self.controller_lives = True
        """Whether health checks are answered."""

    def declare(self, *queues: str) -> None:
        """Declare and bind queues as the contract has them."""
        self.channel.exchange_declare("message", "direct", durable=True)
        for queue in queues:
            self.channel.queue_declare(queue, durable=True)
            self.channel.queue_bind(queue, "message", queue)

    def listen(self, *queues: str) -> None:
        """Consume queues without acknowledging, as the Forwarder does."""
        self.declare(*queues)
        for queue in queues:
            self.channel.basic_consume(queue, self._take(queue), auto_ack=True, consumer_tag=queue)

    def _take(self, queue: str) -> Callable[[Any, Any, Any, bytes], None]:
        def on_message(
            _channel: object, method: pika.spec.Basic.Deliver, properties: pika.BasicProperties, body: bytes
        ) -> None:
            message = WireMessage(queue, body, properties, bool(method.redelivered))
            if message.kind != "ARCHIVE_HEALTH_CHECK":
                self.heard.append(message)
                return
            self.health_checks.append(message)
            if self.controller_lives:
                fields = message.fields
                self.say(
                    ACKS,
                    MSG_TYPE="ARCHIVE_HEALTH_CHECK_ACK",
                    COMPONENT="ARCHIVE_CTRL",
                    ACK_BOOL="TRUE",
                    ACK_ID=fields["ACK_ID"],
                    SESSION_ID=fields["SESSION_ID"],
                )

        return on_message

    def stop_listening(self, queue: str) -> None:
        """Be a Forwarder that died."""
        self.channel.basic_cancel(queue)

    def say(self, queue: str, /, **fields: object) -> None:
        """Send a message as the Python peers do."""
        self.say_raw(queue, yaml.safe_dump(fields).encode())

    def say_raw(self, queue: str, body: bytes) -> None:
        """Send bytes."""
        self.channel.basic_publish("message", queue, body)

    def messages_in(self, queue: str) -> int:
        """Count what waits in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def look(self) -> None:
        """Take in what has come."""
        self._connection.process_data_events(0)

    async def until(self, condition: Callable[[], object], what: str, limit: float = LIMIT_S) -> None:
        """Take in what comes until a condition holds."""
        deadline = Deadline(limit)
        while True:
            self.look()
            if condition():
                return
            assert not deadline.has_passed(), f"in vain for {what}; heard {[message.kind for message in self.heard]}"
            await asyncio.sleep(POLL_S)

    async def hear(self, kind: str, image: str | None = None, count: int = 1) -> WireMessage:
        """Wait for the count-th message of a kind."""

        def found() -> list[WireMessage]:
            return [
                message
                for message in self.heard
                if message.kind == kind and (image is None or message.fields.get("IMAGE_ID") == image)
            ]

        await self.until(lambda: len(found()) >= count, f"{kind} {image or ''}")
        return found()[count - 1]

    async def quiet(self, seconds: float = 0.4) -> None:
        """Take in what comes for a while, to see what does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            await asyncio.sleep(POLL_S)

    def acknowledge(self, message: WireMessage, **more: object) -> None:
        """Answer a message as its receiver does."""
        fields = message.fields
        answer = {"MSG_TYPE": f"{fields['MSG_TYPE']}_ACK", "ACK_ID": fields["ACK_ID"]}
        if "IMAGE_ID" in fields:
            answer["IMAGE_ID"] = fields["IMAGE_ID"]
        self.say(fields["REPLY_QUEUE"], **{**answer, **more})

    def close(self) -> None:
        """Leave."""
        if self._connection.is_open:
            self._connection.close()


@asynccontextmanager
async def on_the_wire(rabbit: PrivateRabbit, vhost: str, *listening: str) -> AsyncIterator[Peer]:
    """Be everybody else for the time of a block."""
    peer = Peer(rabbit, vhost)
    try:
        peer.listen(*listening)
        yield peer
    finally:
        peer.close()
