"""Connection parameters from a site's broker address and credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pika

if TYPE_CHECKING:
    from ccarchiver_core.config.addresses import BrokerAddress
    from ccarchiver_core.config.credentials import Credentials

HEARTBEAT_S: Final = 10
"""A broker that hangs is detected after three of these: soon enough for a peer in a fault
campaign."""

CONNECT_TIMEOUT_S: Final = 5.0
"""A broker on the same site accepts a connection in milliseconds, or it has a problem."""


def connection_parameters(
    broker: BrokerAddress, credentials: Credentials
) -> pika.ConnectionParameters:
    """Return pika's parameters.

    The password is passed as an object, never in an address that might be logged.
    """
    return pika.ConnectionParameters(
        host=broker.host,
        port=broker.port,
        virtual_host=broker.vhost,
        credentials=pika.PlainCredentials(
            credentials.user, credentials.password.get_secret_value()
        ),
        heartbeat=HEARTBEAT_S,
        socket_timeout=CONNECT_TIMEOUT_S,
        stack_timeout=2 * CONNECT_TIMEOUT_S,
        blocked_connection_timeout=2 * HEARTBEAT_S,
        connection_attempts=1,
    )
