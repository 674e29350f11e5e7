"""From a site's address and credentials to the parameters of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pika

from ccarchiver_sim.peer.runloop import PeerError

if TYPE_CHECKING:
    from ccarchiver_core.credentials import Credentials

HEARTBEAT_S: Final = 10
"""A broker that hangs is noticed after three of these; short enough for a peer in a rehearsal of faults."""

CONNECT_TIMEOUT_S: Final = 5.0
"""A broker on the same site accepts a connection in milliseconds, or it is in trouble."""


def connection_parameters(address: str, credentials: Credentials) -> pika.URLParameters:
    """Make pika's parameters; the password goes in as an object, never into an address that might be logged.

    Raises
    ------
    PeerError
        If the address has another form than `host:port/vhost`.
    """
    try:
        parameters = pika.URLParameters(f"amqp://{address}")
    except ValueError as error:
        raise PeerError(
            f"BASE_BROKER_ADDR {address!r} is not host:port/vhost ({error}); for example 127.0.0.1:5672/%2ftest_cc"
        ) from error
    parameters.credentials = pika.PlainCredentials(credentials.user, credentials.password.get_secret_value())
    parameters.heartbeat = HEARTBEAT_S
    parameters.socket_timeout = CONNECT_TIMEOUT_S
    parameters.stack_timeout = 2 * CONNECT_TIMEOUT_S
    parameters.blocked_connection_timeout = 2 * HEARTBEAT_S
    parameters.connection_attempts = 1
    return parameters
