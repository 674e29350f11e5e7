"""Puts raw bytes into queues, as a peer with a defect would."""

import asyncio
from collections.abc import Sequence

import pika
import yaml

from ccarchiver_sim.brokers.ports import LOOPBACK
from ccarchiver_sim.rig.rig import Rig

DEFAULT_EXCHANGE = ""


def _publish(rig: Rig, messages: Sequence[tuple[str, bytes]]) -> None:
    credentials = pika.PlainCredentials(rig.rabbit.user, rig.rabbit.password)
    parameters = pika.ConnectionParameters(LOOPBACK, rig.rabbit.port, rig.vhost, credentials)
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue, body in messages:
            channel.basic_publish(DEFAULT_EXCHANGE, queue, body, mandatory=True)
    finally:
        connection.close()


async def publish(rig: Rig, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish bodies to queues, in order, and wait until the broker has them."""
    await asyncio.to_thread(_publish, rig, messages)


def body(**fields: object) -> bytes:
    """Write a message."""
    return yaml.safe_dump(fields).encode()
