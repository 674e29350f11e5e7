"""The cause of an error that pika raises, and what to do about it."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from pika import exceptions

from ccarchiver_core.config.credentials import credentials_path
from ccarchiver_core.config.tls import REMEDY, is_of_tls

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings

ACCESS_DENIED = {403, 530}
"""AMQP reply codes to a login whose user may not use the virtual host, or if there is none."""

_OVER_LIMIT = re.compile(r"NOT_ALLOWED.*connection limit.*is reached")
"""RabbitMQ's text to a login for which a virtual host, a user or the node has no connection left.

The code is 530, as for a virtual host that does not exist.
"""

STATUS_COMMAND = "on the broker's host: rabbitmqctl status"


def cause_of(error: BaseException) -> BaseException:
    """Return the innermost cause of an error.

    pika wraps it in arguments and lists of its own exceptions.
    """
    inside = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    for inner in reversed(inside):
        if isinstance(inner, BaseException):
            return cause_of(inner)
    return error


def explain(error: BaseException) -> str:
    """Return the text of an error's cause on one line."""
    cause = cause_of(error)
    if isinstance(cause, exceptions.ConnectionClosed | exceptions.ChannelClosed):
        return f"{cause.reply_code} {' '.join(cause.reply_text.split())}"
    return " ".join((str(cause) or type(cause).__name__).split())


def describe_failed_connection(error: BaseException, limit_s: float) -> str:
    """Return why RabbitMQ could not be connected to, as far as the error shows it.

    Parameters
    ----------
    error : `BaseException`
        What pika raised.
    limit_s : `float`
        The limit in seconds that the connection had.
    """
    match error:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return "it rejects the user or the password"
        case _ if _is_access_denied(error):
            return _access_text(error)
        case _ if _is_timeout(error):
            accepted = (
                "" if isinstance(cause_of(error), TimeoutError) else "accepts a connection but "
            )
            return f"it {accepted}does not answer within {limit_s:g} s"
        case _ if isinstance(cause_of(error), ConnectionRefusedError):
            return "it refused the connection (nothing listens there)"
        case _ if isinstance(cause_of(error), socket.gaierror):
            return "its host name is unknown"
        case _:
            return f"no connection: {explain(error)}"


def remedy_for_failed_connection(settings: Settings, error: BaseException) -> str:
    """Return what to type or to correct so that RabbitMQ can be connected to."""
    match error:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return (
                f"correct the user or the password in {credentials_path()}, or on the broker: "
                "rabbitmqctl change_password USER"
            )
        case _ if _is_access_denied(error):
            return _access_remedy(settings.vhost, error)
        case _ if is_of_tls(explain(error)):
            return REMEDY
        case _ if isinstance(cause_of(error), ConnectionRefusedError):
            return f"start RabbitMQ on that host, or correct BASE_BROKER_ADDR; {STATUS_COMMAND}"
        case _ if isinstance(cause_of(error), socket.gaierror):
            return "correct the host in BASE_BROKER_ADDR, or the site's name service"
        case _:
            return f"{STATUS_COMMAND}; if it runs, check BASE_BROKER_ADDR"


def _is_access_denied(error: BaseException) -> bool:
    if isinstance(error, exceptions.ConnectionClosedByBroker):
        return error.reply_code in ACCESS_DENIED
    return isinstance(error, exceptions.ProbableAccessDeniedError)


def _access_text(error: BaseException) -> str:
    if (reason := _over_limit(error)) is not None:
        return f"it accepts no further connection: {reason}"
    return f"the user may not use the virtual host: {explain(error)}"


def _access_remedy(vhost: str, error: BaseException) -> str:
    if _over_limit(error) is not None:
        return (
            "end other connections (rabbitmqctl list_connections user vhost peer_host), or "
            f"raise the limit: rabbitmqctl clear_vhost_limits -p {vhost}; "
            "rabbitmqctl clear_user_limits USER max-connections"
        )
    permit = f"rabbitmqctl set_permissions -p {vhost} USER '.*' '.*' '.*'"
    return (
        f"rabbitmqctl add_vhost {vhost}; {permit} (on the broker's host), "
        "or correct the virtual host in BASE_BROKER_ADDR"
    )


def _over_limit(error: BaseException) -> str | None:
    """Return RabbitMQ's text about a limit of connections; None for another error."""
    found = _OVER_LIMIT.search(explain(error))
    return None if found is None else found[0]


def _is_timeout(error: BaseException) -> bool:
    cause = cause_of(error)
    return isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__
