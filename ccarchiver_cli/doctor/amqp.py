"""A short connection to RabbitMQ that changes nothing there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pika
from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from ccarchiver_cli.doctor.finding import NotCheckedError
from ccarchiver_core.amqp.parameters import connection_parameters
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import load_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection

    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.config.site_sections import BrokerAddress

CONNECTING_ERRORS = (exceptions.AMQPError, AMQPConnectorException, OSError)
"""What pika raises when a connection cannot be made; a broker that hangs gives the second."""

ANSWER_LIMIT = 5.0
"""Seconds RabbitMQ may take to accept a connection: it needs milliseconds."""


def connect(settings: Settings) -> BlockingConnection:
    """Connect, with pika's errors as they are.

    Raises
    ------
    NotCheckedError
        If there are no usable credentials: there is a line of its own for them.
    """
    try:
        credentials = load_credentials()
    except ConfigError:
        raise NotCheckedError("the credentials file is wrong") from None
    for broker in settings.brokers[:-1]:
        with contextlib.suppress(*CONNECTING_ERRORS):
            return _connect(broker, settings, credentials)
    return _connect(settings.brokers[-1], settings, credentials)


def _connect(broker: BrokerAddress, settings: Settings, credentials: Credentials) -> BlockingConnection:
    parameters = connection_parameters(broker, settings, credentials, name="ccarchiver doctor", timeout=ANSWER_LIMIT)
    parameters.blocked_connection_timeout = ANSWER_LIMIT
    return pika.BlockingConnection(parameters)


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[BlockingConnection]:
    """Be connected for the time of a block.

    Raises
    ------
    NotCheckedError
        If RabbitMQ cannot be reached or goes away; the check `rabbitmq` says more about it.
    """
    try:
        connection = connect(settings)
    except (*CONNECTING_ERRORS, ConfigError):
        raise NotCheckedError("RabbitMQ cannot be reached") from None
    try:
        yield connection
    except exceptions.AMQPConnectionError:
        raise NotCheckedError("RabbitMQ went away") from None
    finally:
        close(connection)


def close(connection: BlockingConnection) -> None:
    """Close a connection; do nothing if it has been lost meanwhile."""
    with contextlib.suppress(exceptions.AMQPError):
        connection.close()


def explain(error: BaseException) -> str:
    """Say what went wrong in one line; pika wraps the cause in arguments and lists of its own."""
    inside = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    for inner in reversed(inside):
        if isinstance(inner, BaseException):
            return explain(inner)
    return " ".join((str(error) or type(error).__name__).split())
