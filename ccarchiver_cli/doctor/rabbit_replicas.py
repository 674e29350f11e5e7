"""Check of how the queues of a RabbitMQ cluster are replicated.

In AMQP an equivalent declaration of an existing queue passes, and another one is rejected. The
check therefore declares each existing queue as a quorum queue, which changes nothing.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from pika import exceptions

from ccarchiver_cli.doctor.amqp import connected
from ccarchiver_cli.doctor.finding import ok, warning
from ccarchiver_cli.doctor.rabbit_queues import queue_names, session_of
from ccarchiver_cli.doctor.rabbit_server import version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

NAME = "rabbitmq.replicas"

MIRRORS_END_WITH = 4
"""Major version of RabbitMQ that no longer has mirrored classic queues."""

TYPE_ARGUMENT = "x-queue-type"


class QueueType(enum.StrEnum):
    """Type of an existing queue."""

    QUORUM = "quorum"
    CLASSIC = "classic"


def check(site: Site) -> Iterator[Finding]:
    """Check the types of the queues, if the site file names several nodes of RabbitMQ."""
    settings = site.settings
    nodes = len(settings.brokers)
    if nodes == 1:
        return
    names = queue_names(settings, session_of(settings))
    with connected(settings) as connection:
        types = {name: _type(connection, name) for name in names}
        major = int(re.findall(r"\d+", version_of(connection))[0])
    quorum = [name for name, kind in types.items() if kind is QueueType.QUORUM]
    classic = [name for name, kind in types.items() if kind is QueueType.CLASSIC]
    if not classic:
        yield ok(NAME, f"BASE_BROKER_ADDR names {nodes} nodes; {len(quorum)} quorum queues")
    elif major >= MIRRORS_END_WITH:
        yield warning(
            NAME,
            f"BASE_BROKER_ADDR names {nodes} nodes, but these queues are classic and RabbitMQ "
            f"{major} does not replicate them: {', '.join(classic)}. If their node fails, the "
            "archiver waits for it",
            "use a virtual host with the default queue type quorum: rabbitmqctl add_vhost "
            f"{settings.vhost} --default-queue-type quorum",
        )
    else:
        yield ok(
            NAME,
            f"BASE_BROKER_ADDR names {nodes} nodes; {len(classic)} queues are classic, which only "
            f"a policy replicates. It shows in: rabbitmqctl list_queues -p {settings.vhost} name "
            "policy slave_pids",
        )


def _type(connection: BlockingConnection, name: str) -> QueueType | None:
    """Return the type of a queue; None if it is missing or has other arguments."""
    channel = connection.channel()
    try:
        channel.queue_declare(name, passive=True)
        channel.queue_declare(name, durable=True, arguments={TYPE_ARGUMENT: QueueType.QUORUM.value})
    except exceptions.ChannelClosedByBroker as error:
        # The check `rabbitmq.queues` reports every other reason.
        return QueueType.CLASSIC if TYPE_ARGUMENT in error.reply_text else None
    channel.close()
    return QueueType.QUORUM
