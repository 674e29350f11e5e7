"""The errors of Redis that mean "wait": it is unavailable, or rejects writes."""

from __future__ import annotations

from redis import exceptions

from ccarchiver_core.config.credentials import credentials_path
from ccarchiver_core.redis.connection_failures import describe_failure
from ccarchiver_core.redis.server_check import WrongServerError

UNAVAILABLE_ERRORS = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    OSError,
)
"""Errors of an unavailable Redis: wait and repeat the command."""


_ACL_IN_SCRIPT = "ACL failure in script"
"""Start of the error text of Redis 7 for a script that lacks permissions."""


_WRITE_REJECTED_CODES = frozenset(
    {"OOM", "MISCONF", "READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "BUSY"}
)
"""Error codes of a Redis that answers but cannot write at present (full, disk read-only, ...)."""


_CODES = {
    exceptions.ReadOnlyError: "READONLY",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.MasterDownError: "MASTERDOWN",
}
"""Codes that redis-py removes from the text of an error, by the class of the error."""


_REMEDIES = {
    "NOREPLICAS": "start its replicas, or lower min-replicas-to-write",
    "LOADING": "it is loading its data; wait",
    "MASTERDOWN": "it is a replica without a master; start the master, or correct REDIS_HOST",
    "READONLY": "it is a replica; REDIS_HOST must be the master",
    "BUSY": "it is busy with a slow script: redis-cli script kill",
}
"""Remedy for each error code other than those of a full memory or disk."""


_NO_DATABASE = "; use a smaller ARCHIVER_REDIS_DB, or raise `databases` in redis.conf"
"""Remedy for a database number that the server does not have."""


def is_write_rejected(error: BaseException) -> bool:
    """Return whether an error means that Redis cannot write at present, or that the user may not.

    Other errors of a Redis that answers mean that the command itself is wrong.
    """
    return _is_permission_denied(error) or (
        isinstance(error, exceptions.ResponseError) and _code(error) in _WRITE_REJECTED_CODES
    )


def _code(error: BaseException) -> str:
    """Return the code of a server's error."""
    known = (code for kind, code in _CODES.items() if isinstance(error, kind))
    return next(known, str(error).split(" ", 1)[0])


def _is_permission_denied(error: BaseException) -> bool:
    """Return whether the archiver's Redis user lacks a permission.

    An operator can grant it at any time, so the workers wait.
    """
    return isinstance(error, exceptions.NoPermissionError) or (
        isinstance(error, exceptions.ResponseError) and _ACL_IN_SCRIPT in str(error)
    )


def describe(error: BaseException) -> str:
    """Return a one-line description of a Redis error for an operator.

    It continues a sentence that begins "Redis at ADDRESS". For a rejected login, a rejected write
    and a wrong database number it includes the remedy.
    """
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, exceptions.AuthenticationError):
        path = credentials_path()
        return f"rejects the login: {text}; correct redis_users in {path}, or REDIS_LOGIN"
    if is_write_rejected(error):
        return f"rejects writes: {text}; {remedy(error)}"
    if isinstance(error, WrongServerError):
        return text
    if isinstance(error, exceptions.ResponseError):
        return f"returned an error: {text}{_NO_DATABASE if 'DB index' in text else ''}"
    return describe_failure(error)


def remedy(error: BaseException) -> str:
    """Return what an operator can do about a Redis that rejects writes."""
    if _is_permission_denied(error):
        return "grant the user the permissions that deploy/redis-users.acl lists"
    return _REMEDIES.get(_code(error), "free its memory or its disk")
