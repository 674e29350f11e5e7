"""How a connection to RabbitMQ is let in: address, login and encryption, for pika."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika

from ccarchiver_core.config.tls import client_context

if TYPE_CHECKING:
    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.config.site_sections import BrokerAddress

SECTION = "RABBITMQ_TLS"


def connection_parameters(
    broker: BrokerAddress, settings: Settings, credentials: Credentials, *, name: str, timeout: float
) -> pika.ConnectionParameters:
    """Make the parameters of one attempt to connect to one broker. Safe to repeat.

    Parameters
    ----------
    broker : `BrokerAddress`
        Which one.
    settings : `Settings`
        Heartbeat and encryption.
    credentials : `Credentials`
        User and password.
    name : `str`
        Who connects, for RabbitMQ's list of connections.
    timeout : `float`
        Seconds for the whole of connecting.

    Raises
    ------
    ConfigError
        If a file that encryption needs is missing or wrong.
    """
    tls = settings.rabbitmq_tls
    return pika.ConnectionParameters(
        host=broker.host,
        port=broker.port,
        virtual_host=broker.vhost,
        credentials=pika.PlainCredentials(credentials.user, credentials.password.get_secret_value()),
        heartbeat=settings.amqp_heartbeat,
        socket_timeout=timeout,
        stack_timeout=timeout,
        connection_attempts=1,
        client_properties={"connection_name": name},
        # made anew each time: a renewed certificate needs no restart
        ssl_options=pika.SSLOptions(client_context(tls, SECTION), broker.host) if tls.use else None,
    )


def require_files(settings: Settings) -> None:
    """Check the files that encryption needs.

    Raises
    ------
    ConfigError
        If one is missing or wrong.
    """
    if settings.rabbitmq_tls.use:
        client_context(settings.rabbitmq_tls, SECTION)
