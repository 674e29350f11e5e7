"""A peer's connection to one Redis database, which survives restarts of Redis."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

TIMEOUT_S: Final = 3.0
"""Limit for one command; Redis answers within milliseconds, or it has a problem."""

RETRY_S: Final = 0.5
"""Wait between attempts while Redis is unavailable."""

UNAVAILABLE_ERRORS: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ResponseError,  # Redis cannot write now: MISCONF, NOREPLICAS
)
"""Errors that end by themselves or after an operator's correction; a peer survives them."""

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class RedisDatabase:
    """One database of a Redis server.

    Parameters
    ----------
    host, port, db
        Address of the server and number of the database.
    """

    def __init__(self, host: str, port: int, db: int) -> None:
        self.where = f"{host}:{port} db {db}"
        # The retries of redis-py are off: they silently repeat a write whose answer was lost.
        self.client = redis.Redis(
            host=host,
            port=port,
            db=db,
            decode_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._is_unavailable = False

    def attempt(self, what: str, command: Callable[[redis.Redis], Result]) -> Result | None:
        """Run a command once and return its result, or None if Redis is unavailable.

        Only the first failure of an outage is logged.
        """
        try:
            result = command(self.client)
        except UNAVAILABLE_ERRORS as error:
            if not self._is_unavailable:
                log.warning(
                    "no Redis at %s (%s); could not %s; retrying until it answers",
                    self.where,
                    error,
                    what,
                )
            self._is_unavailable = True
            return None
        if self._is_unavailable:
            log.info("Redis at %s answers", self.where)
        self._is_unavailable = False
        return result

    def retry_until_done(
        self, what: str, command: Callable[[redis.Redis], Result], stop: threading.Event
    ) -> Result | None:
        """Repeat a command until it succeeds; return None only if the peer ends before."""
        while not stop.is_set():
            result = self.attempt(what, command)
            if result is not None:
                return result
            stop.wait(RETRY_S)
        return None

    def close(self) -> None:
        """Close the connection."""
        self.client.close()
