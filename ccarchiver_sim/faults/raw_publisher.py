"""A client of RabbitMQ that publishes raw bytes, as a faulty peer would, and inspects queues."""

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


def _count_consumers(rig: Rig, queue: str) -> int:
    with _connected(rig) as connection:
        try:
            declared = connection.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return 0
        return int(declared.method.consumer_count)


async def count_consumers(rig: Rig, queue: str) -> int:
    """Return the number of consumers of a queue, 0 if it does not exist."""
    return await asyncio.to_thread(_count_consumers, rig, queue)


def _delete_queue(rig: Rig, queue: str) -> None:
    with _connected(rig) as connection:
        connection.channel().queue_delete(queue)


async def delete_queue(rig: Rig, queue: str) -> None:
    """Delete a queue with its messages, its binding and its consumers."""
    await asyncio.to_thread(_delete_queue, rig, queue)


async def publish(rig: Rig, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish bodies to queues in sequence, and wait until the broker has confirmed them."""
    await asyncio.to_thread(_publish, rig, messages)


def body(**fields: object) -> bytes:
    """Return a message body with the given fields."""
    return yaml.safe_dump(fields).encode()
