"""Errors of a connection to RabbitMQ, and their description."""

from __future__ import annotations

from ccarchiver_core.amqp.errors import cause_of
from ccarchiver_core.base.errors import CcArchiverError


class AmqpError(CcArchiverError):
    """Failure of a connection or of a request on it; a closed connection must be opened again."""


class UnroutableError(CcArchiverError):
    """Message that reaches no queue; the queue must be declared again."""


def explain(error: BaseException) -> str:
    """Return the cause of an error on one line."""
    cause = cause_of(error)
    return " ".join(f"{type(cause).__name__}: {cause}".split())
