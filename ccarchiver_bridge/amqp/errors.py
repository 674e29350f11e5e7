"""What can go wrong on a connection to RabbitMQ, and how to say it."""

from __future__ import annotations

from ccarchiver_core.base.errors import CcArchiverError


class AmqpError(CcArchiverError):
    """The connection could not be made or broke; open another one."""


class UnroutableError(CcArchiverError):
    """No queue takes the message: it must be declared again."""


def explain(error: BaseException) -> str:
    """Say what went wrong in one line; pika wraps the cause in arguments and lists of its own."""
    inside = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    for inner in reversed(inside):
        if isinstance(inner, BaseException):
            return explain(inner)
    return " ".join(f"{type(error).__name__}: {error}".split())
