"""A peer's connection to one Redis database, with patience for restarts."""

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
"""How long one command may take; Redis answers within milliseconds or is in trouble."""

RETRY_S: Final = 0.5
"""Wait between attempts while Redis is away."""

REFUSALS: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ResponseError,  # it cannot write for now: MISCONF, NOREPLICAS
)
"""What passes by itself, or when an operator mends Redis: a peer lives through it."""

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class RedisDatabase:
    """One database of a Redis server.

    Parameters
    ----------
    host, port, db
        Where it is.
    """

    def __init__(self, host: str, port: int, db: int) -> None:
        self.where = f"{host}:{port} db {db}"
        # redis-py's own retries are off: they repeat a write whose answer was lost without saying so.
        self.client = redis.Redis(
            host=host,
            port=port,
            db=db,
            decode_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._away = False

    def attempt(self, what: str, command: Callable[[redis.Redis], Result]) -> Result | None:
        """Run a command once; None, with a line in the log at the first failure, if Redis is away."""
        try:
            result = command(self.client)
        except REFUSALS as error:
            if not self._away:
                log.warning("no Redis at %s (%s); could not %s; trying until it is there", self.where, error, what)
            self._away = True
            return None
        if self._away:
            log.info("Redis at %s is there", self.where)
        self._away = False
        return result

    def insist(self, what: str, command: Callable[[redis.Redis], Result], stop: threading.Event) -> Result | None:
        """Repeat a command until it succeeds; None only if the peer ends meanwhile."""
        while not stop.is_set():
            result = self.attempt(what, command)
            if result is not None:
                return result
            stop.wait(RETRY_S)
        return None

    def close(self) -> None:
        """Drop the connection."""
        self.client.close()
