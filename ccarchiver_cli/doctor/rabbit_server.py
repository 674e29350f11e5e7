"""RabbitMQ as a server: there, new enough, and open to the archiver's user."""

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
"""The oldest RabbitMQ the archiver was tried with."""

PINGS = 5
"""The quickest counts: the checks beside this one take turns with it on this side."""

MS_PER_S = 1e3


def reach(site: Site) -> Iterator[Finding]:
    """Look whether RabbitMQ lets us in and how quickly it answers."""
    settings = site.settings
    try:
        connection = connect(settings)
    except ConfigError as error:
        yield failure("rabbitmq", str(error), "mend that, and ask again: ccarchiver doctor")
        return
    except CONNECTING_ERRORS as error:
        yield failure("rabbitmq", f"RabbitMQ at {settings.broker_text}: {_what(error)}", _remedy(settings, error))
        return
    try:
        seconds = min(_latency(connection) for _ in range(PINGS))
        version = _version(connection)
    except CONNECTING_ERRORS as error:
        found = f"RabbitMQ at {settings.broker_text} let us in, then stopped answering: {explain(error)}"
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
    yield ok("rabbitmq", f"{where} lets us in, answers in {seconds * MS_PER_S:.1f} ms")


def _latency(connection: BlockingConnection) -> float:
    begin = time.monotonic()
    connection.channel().close()
    return (time.monotonic() - begin) / 2  # two questions, two answers


def _what(error: BaseException) -> str:
    match error:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return "it refuses the user or the password"
        case exceptions.ProbableAccessDeniedError() | exceptions.ConnectionClosedByBroker():
            return f"it does not let the user into the virtual host: {explain(error)}"
        case _ if "Timeout" in explain(error):
            return f"it accepts a connection, but does not answer within {ANSWER_LIMIT:g} s"
        case _:
            return f"no connection: {explain(error)}"


def _remedy(settings: Settings, error: BaseException) -> str:
    vhost = settings.vhost
    match error:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return f"mend user or password in {credentials_path()}, or on the broker: rabbitmqctl change_password USER"
        case exceptions.ProbableAccessDeniedError() | exceptions.ConnectionClosedByBroker():
            allow = f"rabbitmqctl add_vhost {vhost}; rabbitmqctl set_permissions -p {vhost} USER '.*' '.*' '.*'"
            return f"{allow} (on the broker's host), or mend the end of BASE_BROKER_ADDR"
        case _ if is_of_tls(explain(error)):
            return REMEDY
        case _:
            return "rabbitmqctl status (on the broker's host; is it running? is BASE_BROKER_ADDR right?)"


def _version(connection: BlockingConnection) -> str:
    # pika shows what the server said of itself on its other adapters, on this one only inside
    properties = connection._impl.server_properties  # noqa: SLF001  pika shows them nowhere else
    version = (properties or {}).get("version", "?")
    return version.decode() if isinstance(version, bytes) else str(version)
