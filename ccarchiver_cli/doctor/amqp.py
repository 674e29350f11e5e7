"""Short connections to RabbitMQ that change nothing there."""

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

    from ccarchiver_core.config.addresses import BrokerAddress
    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings

CONNECTING_ERRORS = (exceptions.AMQPError, AMQPConnectorException, OSError)
"""Errors of pika when it cannot connect; the second one if the broker hangs."""

ANSWER_LIMIT = 5.0
"""Timeout of a connection in seconds; RabbitMQ accepts one in milliseconds."""


def connect(settings: Settings) -> BlockingConnection:
    """Connect to RabbitMQ; the errors of pika are not converted.

    Raises
    ------
    NotCheckedError
        If there are no usable credentials, which have a check of their own.
    """
    try:
        credentials = load_credentials()
    except ConfigError:
        raise NotCheckedError("the credentials file is wrong") from None
    for broker in settings.brokers[:-1]:
        with contextlib.suppress(*CONNECTING_ERRORS):
            return _connect(broker, settings, credentials)
    return _connect(settings.brokers[-1], settings, credentials)


def _connect(
    broker: BrokerAddress, settings: Settings, credentials: Credentials
) -> BlockingConnection:
    parameters = connection_parameters(
        broker, settings, credentials, name="ccarchiver doctor", timeout=ANSWER_LIMIT
    )
    parameters.blocked_connection_timeout = ANSWER_LIMIT
    return pika.BlockingConnection(parameters)


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[BlockingConnection]:
    """Hold a connection open for a block.

    Raises
    ------
    NotCheckedError
        If the connection fails or is lost; the check `rabbitmq` reports the details.
    """
    try:
        connection = connect(settings)
    except (*CONNECTING_ERRORS, ConfigError):
        raise NotCheckedError("RabbitMQ cannot be reached") from None
    try:
        yield connection
    except exceptions.AMQPConnectionError:
        raise NotCheckedError("the connection to RabbitMQ was lost") from None
    finally:
        close(connection)


def close(connection: BlockingConnection) -> None:
    """Close a connection; a lost connection is ignored."""
    with contextlib.suppress(exceptions.AMQPError):
        connection.close()
