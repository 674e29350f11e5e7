"""Check of the RabbitMQ server: reachable, new enough, and open to the archiver's user."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.amqp import ANSWER_LIMIT, CONNECTING_ERRORS, close, connect
from ccarchiver_cli.doctor.finding import failure, ok
from ccarchiver_core.amqp.errors import (
    describe_failed_connection,
    explain,
    remedy_for_failed_connection,
)
from ccarchiver_core.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

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
        what = describe_failed_connection(error, ANSWER_LIMIT)
        found = f"RabbitMQ at {settings.broker_text}: {what}"
        yield failure("rabbitmq", found, remedy_for_failed_connection(settings, error))
        return
    try:
        seconds = min(_latency(connection) for _ in range(PINGS))
        version = version_of(connection)
    except CONNECTING_ERRORS as error:
        where = f"RabbitMQ at {settings.broker_text}"
        found = f"{where} accepted the login, then stopped answering: {explain(error)}"
        yield failure("rabbitmq", found, remedy_for_failed_connection(settings, error))
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


def version_of(connection: BlockingConnection) -> str:
    """Return the version of the server, for example `3.10.8`; `?` if it does not say."""
    # The other adapters of pika have a public attribute for the properties of the server.
    properties = connection._impl.server_properties  # noqa: SLF001  this one has none
    version = (properties or {}).get("version", "?")
    return version.decode() if isinstance(version, bytes) else str(version)
