"""Retrying commands that are safe to repeat, while Redis is unavailable."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from redis import exceptions

from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, is_write_rejected, remedy
from ccarchiver_core.redis.server_check import WrongServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


Result = TypeVar("Result")


async def retry_until_available(read: Callable[[], Awaitable[Result]]) -> Result:
    """Run an idempotent command; repeat it until Redis has executed it.

    Parameters
    ----------
    read : callable
        Sends the command: a read, or a write that may be applied twice.

    Returns
    -------
    result
        What the command returns.
    """
    backoff = Backoff()
    while True:
        try:
            return await read()
        except (*UNAVAILABLE_ERRORS, exceptions.ResponseError) as error:
            await backoff_or_raise(error, backoff)


async def backoff_or_raise(error: Exception, backoff: Backoff) -> None:
    """Wait if Redis is unavailable or cannot write at present; otherwise raise the error again.

    Raises
    ------
    ConfigError
        If ARCHIVER_REDIS_DB is too large for this Redis, or if the server is of a kind that the
        archiver cannot use.
    Exception
        The error itself, if waiting does not help.
    """
    import structlog  # noqa: PLC0415  a quarter of the command line's start, which never waits here

    log = structlog.get_logger(__name__)
    if isinstance(error, UNAVAILABLE_ERRORS):
        await backoff.wait(
            log, "redis.unavailable", error=" ".join(str(error).split()) or type(error).__name__
        )
    elif is_write_rejected(error):
        await backoff.wait(log, "redis.write_rejected", error=str(error), remedy=remedy(error))
    elif "DB index is out of range" in str(error):
        raise ConfigError(
            "ARCHIVER_REDIS_DB: this Redis has no database with that number (see its `databases` "
            "setting); use a smaller number"
        ) from error
    elif isinstance(error, WrongServerError):
        raise ConfigError(f"the server that the site file names as Redis {error}") from error
    else:
        raise error
