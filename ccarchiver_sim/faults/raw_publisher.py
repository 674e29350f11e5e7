"""Looks into queues, and puts raw bytes into them as a peer with a defect would."""

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
    """Return the number of messages that wait in each queue, 0 for one that does not exist. Blocks."""
    found = []
    with _connected(rig) as connection:
        for queue in queues:
            channel = connection.channel()  # one for each: the broker closes it if there is no such queue
            try:
                found.append(int(channel.queue_declare(queue, passive=True).method.message_count))
            except pika.exceptions.ChannelClosedByBroker:
                found.append(0)
            else:
                channel.close()
    return found


async def publish(rig: Rig, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish bodies to queues, in order, and wait until the broker has them."""
    await asyncio.to_thread(_publish, rig, messages)


def body(**fields: object) -> bytes:
    """Write a message."""
    return yaml.safe_dump(fields).encode()
