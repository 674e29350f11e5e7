"""Errors of a connection to RabbitMQ."""

from __future__ import annotations

from ccarchiver_core.base.errors import CcArchiverError


class AmqpError(CcArchiverError):
    """Failure of a connection or of a request on it; a closed connection must be opened again.

    Parameters
    ----------
    text : `str`
        What happened.
    remedy : `str`
        What an operator can type or correct; empty if the cause is unknown.
    """

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


class BlockedError(AmqpError):
    """RabbitMQ accepts no messages from any client now; the connection stays open."""


class UnroutableError(CcArchiverError):
    """Message that reaches no queue; the queue must be declared again."""
