"""Check of the RabbitMQ server: reachable, new enough, and open to the archiver's user."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from pika import exceptions

from ccarchiver_cli.doctor.amqp import ANSWER_LIMIT, CONNECTING_ERRORS, close, connect, explain
from ccarchiver_cli.doctor.finding import failure, ok
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import credentials_path
from ccarchiver_core.config.tls import REMEDY, is_of_tls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings

MIN_VERSION = (3, 10)
"""Oldest RabbitMQ with which the archiver was tested."""

PINGS = 5
"""Number of measurements, of which the shortest counts.

The other checks run at the same time and delay some of them.
"""

MS_PER_S = 1e3


def reach(site: Site) -> Iterator[Finding]:
    """Check whether RabbitMQ accepts the login, and how quickly it answers."""
    settings = site.settings
    try:
        connection = connect(settings)
    except ConfigError as error:
        yield failure("rabbitmq", str(error), "correct that, then run ccarchiver doctor again")
        return
    except CONNECTING_ERRORS as error:
        found = f"RabbitMQ at {settings.broker_text}: {_what(error)}"
        yield failure("rabbitmq", found, _remedy(settings, error))
        return
    try:
        seconds = min(_latency(connection) for _ in range(PINGS))
        version = _version(connection)
    except CONNECTING_ERRORS as error:
        where = f"RabbitMQ at {settings.broker_text}"
        found = f"{where} accepted the login, then stopped answering: {explain(error)}"
        yield failure("rabbitmq", found, _remedy(settings, error))
        return
    finally:
        close(connection)
    where = f"RabbitMQ {version} at {settings.broker_text}"
    number = tuple(int(part) for part in re.findall(r"\d+", version)[: len(MIN_VERSION)])
    if number < MIN_VERSION:
        oldest = ".".join(str(part) for part in MIN_VERSION)
        yield failure("rabbitmq", f"{where} is too old", f"install RabbitMQ {oldest} or later")
        return
    yield ok("rabbitmq", f"{where} accepts the login, answers in {seconds * MS_PER_S:.1f} ms")


def _latency(connection: BlockingConnection) -> float:
    begin = time.monotonic()
    connection.channel().close()
    return (time.monotonic() - begin) / 2  # two round trips: open and close


def _what(error: BaseException) -> str:
    match error:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return "it rejects the user or the password"
        case exceptions.ProbableAccessDeniedError() | exceptions.ConnectionClosedByBroker():
            return f"the user may not use the virtual host: {explain(error)}"
        case _ if "Timeout" in explain(error):
            return f"it accepts a connection, but does not answer within {ANSWER_LIMIT:g} s"
        case _:
            return f"no connection: {explain(error)}"


def _remedy(settings: Settings, error: BaseException) -> str:
    vhost = settings.vhost
    match error:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return (
                f"correct the user or the password in {credentials_path()}, or on the broker: "
                "rabbitmqctl change_password USER"
            )
        case exceptions.ProbableAccessDeniedError() | exceptions.ConnectionClosedByBroker():
            permit = f"rabbitmqctl set_permissions -p {vhost} USER '.*' '.*' '.*'"
            return (
                f"rabbitmqctl add_vhost {vhost}; {permit} (on the broker's host), "
                "or correct the virtual host in BASE_BROKER_ADDR"
            )
        case _ if is_of_tls(explain(error)):
            return REMEDY
        case _:
            question = "is it running? is BASE_BROKER_ADDR right?"
            return f"rabbitmqctl status (on the broker's host; {question})"


def _version(connection: BlockingConnection) -> str:
    # The other adapters of pika have a public attribute for the properties of the server.
    properties = connection._impl.server_properties  # noqa: SLF001  this one has none
    version = (properties or {}).get("version", "?")
    return version.decode() if isinstance(version, bytes) else str(version)
