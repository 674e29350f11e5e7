"""Checks of the exchange and queues of the wire contract, and of the queues' consumers.

In AMQP a passive declaration shows whether an exchange or a queue exists, but not its properties.
The broker rejects another declaration with different properties. The check therefore declares each
existing exchange and queue once more, exactly as the bridge does, which changes nothing. AMQP does
not show bindings.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pika import exceptions

from ccarchiver_cli.doctor.amqp import connected
from ccarchiver_cli.doctor.consumers import evaluate_consumers
from ccarchiver_cli.doctor.finding import Finding, Level, NotCheckedError, failure, ok
from ccarchiver_cli.doctor.queue_state import Queue
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_core.amqp.errors import explain
from ccarchiver_core.amqp.topology import EXCHANGE, EXCHANGE_TYPE
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session

NOT_FOUND = 404
"""AMQP reply code to a passive declaration of something that does not exist."""

RESTART_BRIDGE = "supervisorctl restart ccarchiver:bridge"


def check(site: Site) -> Iterator[Finding]:
    """Check exchange, queues and consumers over one connection."""
    settings = site.settings
    session = session_of(settings)
    names = queue_names(settings, session)
    with connected(settings) as connection:
        exchange = _exchange(connection)
        queues = [_queue(connection, name) for name in names]
    yield _evaluate_exchange(exchange, session)
    yield from _evaluate_queues(settings, queues, session)
    yield from evaluate_consumers(settings, queues, session)


def session_of(settings: Settings) -> Session | None:
    """Return the session; None if Redis cannot be read."""
    try:
        return query(settings, read_session)
    except NotCheckedError:
        return None  # the check `redis` reports the reason; the queues are checked all the same


def queue_names(settings: Settings, session: Session | None) -> list[str]:
    """Return the names of the queues of the wire contract and of the paired Forwarder's queue."""
    names = sorted(settings.queues)
    if session is not None and session.forwarder is not None:
        names.append(session.forwarder.consume_queue)
    return names


def _exchange(connection: BlockingConnection) -> Queue:
    def declare(channel: BlockingChannel, *, passive: bool) -> object:
        return channel.exchange_declare(EXCHANGE, EXCHANGE_TYPE, passive=passive, durable=True)

    return _declare(connection, EXCHANGE, declare)


def _queue(connection: BlockingConnection, name: str) -> Queue:
    return _declare(connection, name, functools.partial(_declare_queue, name))


def _declare_queue(name: str, channel: BlockingChannel, *, passive: bool) -> object:
    return channel.queue_declare(name, passive=passive, durable=True)


def _declare(connection: BlockingConnection, name: str, declare: Callable[..., object]) -> Queue:
    """Declare something passively and, if it exists, once more with the required properties.

    Each declaration has its own channel, because an error closes the channel.
    """
    try:
        channel = connection.channel()
        answer = declare(channel, passive=True)
        counts = getattr(answer, "method", None)
        messages, consumers = (
            getattr(counts, "message_count", 0),
            getattr(counts, "consumer_count", 0),
        )
        try:
            declare(channel, passive=False)
        except exceptions.ChannelClosedByBroker as error:
            trouble = explain_refusal(error)
            return Queue(name, exists=True, trouble=trouble, messages=messages, consumers=consumers)
        channel.close()
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return Queue(name, exists=False)
        return Queue(name, exists=True, trouble=explain_refusal(error))
    return Queue(name, exists=True, messages=messages, consumers=consumers)


def explain_refusal(error: exceptions.ChannelClosedByBroker) -> str:
    """Return the error text of the broker, which names the argument that differs."""
    return " ".join(error.reply_text.split()) or explain(error)


def _evaluate_exchange(exchange: Queue, session: Session | None) -> Finding:
    name = "rabbitmq.exchange"
    if not exchange.exists:
        return _missing(name, f"missing: {EXCHANGE}", session)
    if exchange.trouble:
        return failure(
            name,
            f"the exchange {EXCHANGE} has wrong properties (expected: {EXCHANGE_TYPE}, durable): "
            f"{exchange.trouble}",
            "stop all programs that use this virtual host, delete the exchange, start them again: "
            "the bridge declares it",
        )
    return ok(name, f"{EXCHANGE}: {EXCHANGE_TYPE}, durable")


def _evaluate_queues(
    settings: Settings, queues: list[Queue], session: Session | None
) -> Iterator[Finding]:
    name = "rabbitmq.queues"
    good = [queue for queue in queues if queue.exists and not queue.trouble]
    missing = [queue.name for queue in queues if not queue.exists]
    if missing:
        yield _missing(name, f"missing: {', '.join(missing)}", session)
    for queue in queues:
        if queue.trouble:
            yield failure(
                name,
                f"the queue {queue.name} has wrong properties "
                f"(expected: durable, classic, no arguments): {queue.trouble}",
                f"rabbitmqctl delete_queue -p {settings.vhost} {queue.name} "
                f"(its messages are lost), then {RESTART_BRIDGE}",
            )
    if len(good) == len(queues):
        waiting = sum(queue.messages for queue in good)
        yield ok(
            name,
            f"{len(good)} queues, all durable and without arguments; messages waiting: {waiting}. "
            "AMQP does not show bindings: the bridge declares them whenever it connects",
        )


def _missing(name: str, text: str, session: Session | None) -> Finding:
    if session is None:
        found = f"{text}; the bridge declares it when it connects"
        return Finding(name, Level.WARNING, found, RESTART_BRIDGE)
    if session.is_active:
        found = f"{text}, although a session is active: messages for it are lost"
        return failure(name, found, RESTART_BRIDGE)
    found = f"{text}; the bridge declares it at the next start command of the CSC"
    return Finding(name, Level.WARNING, found)
