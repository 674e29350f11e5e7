"""The errors of Redis that mean "wait": it is unavailable, or rejects writes."""

from __future__ import annotations

from redis import exceptions

from ccarchiver_core.config.credentials import credentials_path

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


_REMEDIES = {
    "NOREPLICAS": "start its replicas, or lower min-replicas-to-write",
    "LOADING": "it is loading its data; wait",
    "MASTERDOWN": "it is a replica without a master; start the master, or correct REDIS_HOST",
    "READONLY": "it is a replica; REDIS_HOST must be the master",
    "BUSY": "it is busy with a slow script: redis-cli script kill",
}
"""Remedy for each error code other than those of a full memory or disk."""


def is_write_rejected(error: BaseException) -> bool:
    """Return whether an error means that Redis cannot write at present, or that the user may not.

    Other errors of a Redis that answers mean that the command itself is wrong.
    """
    # redis-py removes the codes READONLY and OOM from the texts of these two.
    if isinstance(error, exceptions.ReadOnlyError | exceptions.OutOfMemoryError):
        return True
    return _is_permission_denied(error) or (
        isinstance(error, exceptions.ResponseError)
        and str(error).split(" ", 1)[0] in _WRITE_REJECTED_CODES
    )


def _is_permission_denied(error: BaseException) -> bool:
    """Return whether the archiver's Redis user lacks a permission.

    An operator can grant it at any time, so the workers wait.
    """
    return isinstance(error, exceptions.NoPermissionError) or (
        isinstance(error, exceptions.ResponseError) and _ACL_IN_SCRIPT in str(error)
    )


def describe(error: BaseException) -> str:
    """Return a one-line description of a Redis error, with its remedy, for an operator."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, exceptions.AuthenticationError):
        path = credentials_path()
        return f"refuses the login: {text}; correct redis_users in {path}, or REDIS_LOGIN"
    return (
        f"refuses writes: {text}; {remedy(error)}"
        if is_write_rejected(error)
        else f"does not answer: {text}"
    )


def remedy(error: BaseException) -> str:
    """Return what an operator can do about a Redis that rejects writes."""
    if _is_permission_denied(error):
        return "grant the user the permissions that deploy/redis-users.acl lists"
    return _REMEDIES.get(str(error).split(" ", 1)[0], "free its memory or its disk")
