"""Publisher of raw bytes to queues, as a faulty peer would, and a reader of queue lengths."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pika
import pika.exceptions
import yaml

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.rig import Rig

DEFAULT_EXCHANGE = ""


@contextmanager
def _connected(rig: Rig) -> Iterator[pika.BlockingConnection]:
    credentials = pika.PlainCredentials(rig.rabbit.user, rig.rabbit.password)
    parameters = pika.ConnectionParameters(LOOPBACK, rig.rabbit.port, rig.vhost, credentials)
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection
    finally:
        connection.close()


def _publish(rig: Rig, messages: Sequence[tuple[str, bytes]]) -> None:
    with _connected(rig) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue, body in messages:
            channel.basic_publish(DEFAULT_EXCHANGE, queue, body, mandatory=True)


def depths(rig: Rig, queues: Sequence[str]) -> list[int]:
    """Return the number of messages waiting in each queue, 0 if it does not exist. Blocks."""
    found = []
    with _connected(rig) as connection:
        for queue in queues:
            channel = connection.channel()  # the broker closes it if the queue does not exist
            try:
                found.append(int(channel.queue_declare(queue, passive=True).method.message_count))
            except pika.exceptions.ChannelClosedByBroker:
                found.append(0)
            else:
                channel.close()
    return found


async def publish(rig: Rig, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish bodies to queues in sequence, and wait until the broker has confirmed them."""
    await asyncio.to_thread(_publish, rig, messages)


def body(**fields: object) -> bytes:
    """Return a message body with the given fields."""
    return yaml.safe_dump(fields).encode()
