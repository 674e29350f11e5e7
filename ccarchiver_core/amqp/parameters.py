"""Parameters of connections to RabbitMQ: address, login and encryption, for pika."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika

from ccarchiver_core.config.tls import client_context

if TYPE_CHECKING:
    from ccarchiver_core.config.addresses import BrokerAddress
    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings

SECTION = "RABBITMQ_TLS"


def connection_parameters(
    broker: BrokerAddress,
    settings: Settings,
    credentials: Credentials,
    *,
    name: str,
    timeout: float,
) -> pika.ConnectionParameters:
    """Return the parameters of one connection attempt to one broker; safe to repeat.

    Parameters
    ----------
    broker : `BrokerAddress`
        The broker.
    settings : `Settings`
        Heartbeat and encryption.
    credentials : `Credentials`
        User and password.
    name : `str`
        Name of the connection in RabbitMQ's list of connections.
    timeout : `float`
        Time limit of the whole attempt, in seconds.

    Raises
    ------
    ConfigError
        If a file for encryption is missing or invalid.
    """
    tls = settings.rabbitmq_tls
    return pika.ConnectionParameters(
        host=broker.host,
        port=broker.port,
        virtual_host=broker.vhost,
        credentials=pika.PlainCredentials(
            credentials.user, credentials.password.get_secret_value()
        ),
        heartbeat=settings.amqp_heartbeat,
        socket_timeout=timeout,
        stack_timeout=timeout,
        connection_attempts=1,
        client_properties={"connection_name": name},
        # a new context for each attempt: a renewed certificate needs no restart
        ssl_options=pika.SSLOptions(client_context(tls, SECTION), broker.host) if tls.use else None,
    )


def require_files(settings: Settings) -> None:
    """Check the files for encryption.

    Raises
    ------
    ConfigError
        If a file is missing or invalid.
    """
    if settings.rabbitmq_tls.use:
        client_context(settings.rabbitmq_tls, SECTION)
