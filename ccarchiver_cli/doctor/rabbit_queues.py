"""RabbitMQ's exchange and queues as the wire contract has them, and who takes from the queues.

AMQP tells whether something exists (a passive declaration) and refuses a second declaration that differs from the
first; so what exists is declared once more as the bridge does, which changes nothing. It does not tell bindings.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pika import exceptions

from ccarchiver_cli.doctor.amqp import connected, explain
from ccarchiver_cli.doctor.consumers import evaluate_consumers
from ccarchiver_cli.doctor.finding import Finding, Level, NotCheckedError, failure, ok
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session

EXCHANGE, EXCHANGE_TYPE = "message", "direct"
"""By the wire contract; no setting."""

NOT_FOUND = 404
"""AMQP's reply code of a passive declaration of what does not exist."""

RESTART_BRIDGE = "supervisorctl restart ccarchiver:bridge"


@dataclass(frozen=True)
class Queue:
    """A queue as RabbitMQ has it."""

    name: str
    exists: bool
    trouble: str = ""
    """Why it is not as it has to be, in RabbitMQ's words."""
    messages: int = 0
    consumers: int = 0


def check(site: Site) -> Iterator[Finding]:
    """Look at exchange, queues and consumers over one connection."""
    settings = site.settings
    session = _session(settings)
    names = _queue_names(settings, session)
    with connected(settings) as connection:
        exchange = _exchange(connection)
        queues = [_queue(connection, name) for name in names]
    yield _evaluate_exchange(exchange, session)
    yield from _evaluate_queues(settings, queues, session)
    yield from evaluate_consumers(settings, queues, session)


def _session(settings: Settings) -> Session | None:
    try:
        return query(settings, read_session)
    except NotCheckedError:
        return None  # the check `redis` says why; the queues can be looked at without it


def _queue_names(settings: Settings, session: Session | None) -> list[str]:
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
    """Declare passively, then, what is there, as it has to be; a refusal closes the channel, so each has its own."""
    try:
        channel = connection.channel()
        answer = declare(channel, passive=True)
        counts = getattr(answer, "method", None)
        messages, consumers = getattr(counts, "message_count", 0), getattr(counts, "consumer_count", 0)
        try:
            declare(channel, passive=False)
        except exceptions.ChannelClosedByBroker as error:
            return Queue(name, exists=True, trouble=explain_refusal(error), messages=messages, consumers=consumers)
        channel.close()
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return Queue(name, exists=False)
        return Queue(name, exists=True, trouble=explain_refusal(error))
    return Queue(name, exists=True, messages=messages, consumers=consumers)


def explain_refusal(error: exceptions.ChannelClosedByBroker) -> str:
    """Return what the broker said; it names the argument that differs."""
    return " ".join(error.reply_text.split()) or explain(error)


def _evaluate_exchange(exchange: Queue, session: Session | None) -> Finding:
    name = "rabbitmq.exchange"
    if not exchange.exists:
        return _missing(name, f"not there: {EXCHANGE}", session)
    if exchange.trouble:
        return failure(
            name,
            f"the exchange {EXCHANGE} is not as it has to be ({EXCHANGE_TYPE}, durable): {exchange.trouble}",
            "stop all that use this virtual host, delete the exchange, start them: the bridge makes it anew",
        )
    return ok(name, f"{EXCHANGE}: {EXCHANGE_TYPE}, durable")


def _evaluate_queues(settings: Settings, queues: list[Queue], session: Session | None) -> Iterator[Finding]:
    name = "rabbitmq.queues"
    good = [queue for queue in queues if queue.exists and not queue.trouble]
    missing = [queue.name for queue in queues if not queue.exists]
    if missing:
        yield _missing(name, f"not there: {', '.join(missing)}", session)
    for queue in queues:
        if queue.trouble:
            yield failure(
                name,
                f"the queue {queue.name} is not as it has to be (durable, classic, no arguments): {queue.trouble}",
                f"rabbitmqctl delete_queue -p {settings.vhost} {queue.name} (its messages go with it), then "
                f"{RESTART_BRIDGE}",
            )
    if len(good) == len(queues):
        waiting = sum(queue.messages for queue in good)
        yield ok(
            name,
            f"{len(good)} queues, all durable and without arguments; {waiting} messages wait in them. Bindings cannot "
            "be seen over AMQP: the bridge makes them whenever it connects",
        )


def _missing(name: str, text: str, session: Session | None) -> Finding:
    if session is None:
        return Finding(name, Level.WARNING, f"{text}; the bridge makes it when it connects", RESTART_BRIDGE)
    if session.is_active:
        return failure(name, f"{text}, though a session is under way: messages for it are lost", RESTART_BRIDGE)
    return Finding(name, Level.WARNING, f"{text}; the bridge makes it with the next start command of the CSC")
