"""From a site's address and credentials to the parameters of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pika

if TYPE_CHECKING:
    from ccarchiver_core.config.credentials import Credentials
    from ccarchiver_core.config.site_sections import BrokerAddress

HEARTBEAT_S: Final = 10
"""A broker that hangs is noticed after three of these; short enough for a peer in a rehearsal of faults."""

CONNECT_TIMEOUT_S: Final = 5.0
"""A broker on the same site accepts a connection in milliseconds, or it is in trouble."""


def connection_parameters(broker: BrokerAddress, credentials: Credentials) -> pika.ConnectionParameters:
    """Make pika's parameters; the password goes in as an object, never into an address that might be logged."""
    return pika.ConnectionParameters(
        host=broker.host,
        port=broker.port,
        virtual_host=broker.vhost,
        credentials=pika.PlainCredentials(credentials.user, credentials.password.get_secret_value()),
        heartbeat=HEARTBEAT_S,
        socket_timeout=CONNECT_TIMEOUT_S,
        stack_timeout=2 * CONNECT_TIMEOUT_S,
        blocked_connection_timeout=2 * HEARTBEAT_S,
        connection_attempts=1,
    )
