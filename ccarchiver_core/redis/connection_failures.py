"""Causes of a failed connection to Redis, and the texts about them for an operator."""

from __future__ import annotations

import enum
import errno
import os
import re
import socket
import ssl

from redis import exceptions

from ccarchiver_core.config.tls import REMEDY as TLS_REMEDY
from ccarchiver_core.redis.server_check import RejectedConnectionError
from ccarchiver_core.redis.timeout_redis import NoAnswerError

_ERRNO = re.compile(r"\[Errno (-?\d+)\]")
"""Number of an error in the text of asyncio, which tries all addresses of a host name."""

_SOURCE = re.compile(r" \(_ssl\.c:\d+\)$")
"""Line of OpenSSL's binding that raised an error; it does not help an operator."""


class Cause(enum.Enum):
    """Why a command got no reply. The value continues a sentence that begins "Redis at ADDRESS"."""

    REFUSED = "refused the connection (nothing listens there)"
    UNKNOWN_HOST = "cannot be reached: its host name cannot be resolved"
    UNREACHABLE = "cannot be reached"
    NOT_CONNECTED = "cannot be reached: no connection within the time limit"
    TLS = "cannot be reached: the TLS connection failed"
    CLOSED = "closed the connection before it answered"
    NO_ANSWER = "did not answer within the time limit"
    LOADING = "is loading its data into memory"
    OTHER = "does not answer"


_BY_TYPE = {
    socket.gaierror: Cause.UNKNOWN_HOST,
    ssl.SSLError: Cause.TLS,
    ConnectionResetError: Cause.CLOSED,
    BrokenPipeError: Cause.CLOSED,
}

_BY_NUMBER = {
    errno.ECONNREFUSED: Cause.REFUSED,
    errno.EHOSTUNREACH: Cause.UNREACHABLE,
    errno.ENETUNREACH: Cause.UNREACHABLE,
    errno.ETIMEDOUT: Cause.UNREACHABLE,
}

_BY_TEXT = {
    "Connection closed by server": Cause.CLOSED,
    "Timeout connecting to server": Cause.NOT_CONNECTED,
}
"""Causes by the beginnings of redis-py's texts, where the error has no number."""

_REMEDIES = {
    Cause.REFUSED: "start Redis on that host, or correct {keys}",
    Cause.UNKNOWN_HOST: "correct {keys}, or the name service of this host",
    Cause.UNREACHABLE: "check that host and the network to it, or correct {keys}",
    Cause.NOT_CONNECTED: "check that host and the network to it, or correct {keys}",
    Cause.TLS: TLS_REMEDY,
    Cause.CLOSED: "the log of Redis contains the reason",
    Cause.NO_ANSWER: "check the Redis process and its disk on that host",
    Cause.LOADING: "wait until Redis has loaded its data",
    Cause.OTHER: "check the Redis process on that host, and {keys}",
}


def cause_of(error: BaseException) -> Cause:
    """Return the cause of an error that means that Redis is unavailable."""
    if isinstance(error, exceptions.BusyLoadingError):
        return Cause.LOADING
    origin, text = _origin(error), str(error)
    candidates = (
        *(cause for kind, cause in _BY_TYPE.items() if isinstance(origin, kind)),
        _BY_NUMBER.get(_number(error)),
        *(cause for beginning, cause in _BY_TEXT.items() if text.startswith(beginning)),
        Cause.NO_ANSWER if isinstance(error, exceptions.TimeoutError | TimeoutError) else None,
    )
    return next((cause for cause in candidates if cause is not None), Cause.OTHER)


def describe_failure(error: BaseException) -> str:
    """Return what happened. The text continues a sentence that begins "Redis at ADDRESS"."""
    if isinstance(error, NoAnswerError | RejectedConnectionError):
        return str(error)
    cause = cause_of(error)
    match cause:
        case Cause.UNREACHABLE:
            detail = os.strerror(_number(error))
        case Cause.TLS:
            detail = _SOURCE.sub("", str(_origin(error)))
        case Cause.OTHER:
            detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        case _:
            detail = ""
    return ": ".join(filter(None, (cause.value, detail)))


def failure_remedy(error: BaseException, address_keys: str) -> str:
    """Return what an operator can do.

    Parameters
    ----------
    error : `BaseException`
        An error that means that Redis is unavailable.
    address_keys : `str`
        Keys of the site file that name the address.
    """
    return _REMEDIES[cause_of(error)].format(keys=address_keys)


def _origin(error: BaseException) -> BaseException:
    """Return the error of the operating system from which redis-py made its own, if there is one.

    Otherwise return the error itself.
    """
    return error if isinstance(error, OSError) else error.__cause__ or error.__context__ or error


def _number(error: BaseException) -> int:
    """Return the error number of the operating system; 0 if there is none or more than one."""
    origin = _origin(error)
    if not isinstance(origin, OSError):
        return 0
    if origin.errno is not None:
        return origin.errno
    numbers = {int(number) for number in _ERRNO.findall(str(origin))}
    return numbers.pop() if len(numbers) == 1 else 0
