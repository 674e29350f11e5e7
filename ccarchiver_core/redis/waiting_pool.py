"""A pool of connections in which a command waits for a connection when all are in use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.asyncio import ConnectionPool
from typing_extensions import override

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

MAX_CONNECTIONS = 100
"""Connections of one pool, as many as redis-py allows by default.

The pools of all workers together stay far below the ``maxclients`` of Redis, 10,000.
"""


class WaitingPool(ConnectionPool):
    """A pool in which a command waits for a connection when all are in use.

    The time limit of the command ends its wait.

    Notes
    -----
    The pool of redis-py raises a ConnectionError then, so a healthy Redis looks unavailable
    (https://github.com/redis/redis-py/issues/2995). Its ``BlockingConnectionPool`` takes a lock
    for each command, and uses `asyncio.Condition`, which can lose a notification when a waiting
    task is cancelled. A semaphore costs nothing while a connection is free.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  redis-py has no types here
        super().__init__(max_connections=MAX_CONNECTIONS, **options)
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._holders: set[AbstractConnection] = set()

    @override
    async def get_connection(
        self, command_name: object = None, *keys: object, **options: object
    ) -> AbstractConnection:
        await self._places.acquire()
        try:
            # redis-py has no types for this method
            connection: AbstractConnection = await super().get_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self._places.release()
            raise
        self._holders.add(connection)
        return connection

    @override
    async def release(self, connection: AbstractConnection) -> None:
        try:
            await super().release(connection)
        finally:
            # A connection that could not be opened is released too, but has not been handed out.
            if connection in self._holders:
                self._holders.remove(connection)
                self._places.release()
