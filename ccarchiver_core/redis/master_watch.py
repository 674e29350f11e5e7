"""Notices at once that the Sentinels replace the master.

redis-py queries the Sentinels only when it connects. Measured with Redis 7.0: after a failover of a
master that runs (``SENTINEL FAILOVER``, or a master that was frozen), the old master goes on
accepting writes for ten seconds and more until it is made a replica. Everything that was written
to it is lost then. A connection to a master that is frozen, or whose host is down, does not end by
itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import RedisError

from ccarchiver_core.redis.sentinels import FailoverRunningError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection

    from ccarchiver_core.redis.sentinels import Address, Sentinels
    from ccarchiver_core.redis.timeout_redis import TimeoutRedis

POLL_INTERVAL = 1.0
"""Seconds between two queries to the Sentinels, for the case that no event of theirs arrives."""

RESUBSCRIBE_INTERVAL = 1.0
"""Seconds before another attempt to subscribe to the events of a Sentinel."""

_EVENTS = ("+try-failover", "+promoted-slave", "+switch-master", "+config-update-from")
"""The Sentinels' events that begin a failover and that name another master.

A Sentinel publishes the first one a tenth of a second or more before it promotes a replica. So no
write is lost in a failover of a master that runs.
"""

_KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""Ends a subscription to a Sentinel whose host is down, after 20 s."""


class MasterWatch:
    """Watches the Sentinels while it runs.

    Parameters
    ----------
    sentinels : `Sentinels`
        The Sentinels.
    follow : callable
        Receives the address of the master after each query, and None while it is being replaced.
    """

    def __init__(self, sentinels: Sentinels, follow: Callable[[Address | None], None]) -> None:
        self._sentinels = sentinels
        self._follow = follow
        self._event = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            for member in self._sentinels.members:
                group.create_task(self._listen(member))

    async def _poll(self) -> None:
        while True:
            try:
                self._follow(await self._sentinels.find_master())
            except FailoverRunningError:
                self._follow(None)
            except (MasterNotFoundError, RedisError, OSError):
                pass  # the master may work; a new connection waits until a Sentinel answers
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_INTERVAL):
                    await self._event.wait()
            self._event.clear()

    async def _listen(self, member: TimeoutRedis) -> None:
        while True:
            connection = self._connection_to(member)
            try:
                await connection.send_command("SUBSCRIBE", *_EVENTS)
                while True:
                    await connection.read_response()
                    self._event.set()
            except (RedisError, OSError):
                await asyncio.sleep(RESUBSCRIBE_INTERVAL)
            finally:
                await connection.disconnect(nowait=True)
                # asyncio closes the socket in the next pass of the event loop, maybe the last one.
                await asyncio.sleep(0)

    @staticmethod
    def _connection_to(member: TimeoutRedis) -> AbstractConnection:
        """Return a connection of its own, because a subscriber can send no other command."""
        pool = member.connection_pool
        connection: AbstractConnection = pool.connection_class(
            **pool.connection_kwargs
            | {
                "socket_keepalive": True,
                "socket_keepalive_options": _KEEPALIVE,
                "socket_timeout": None,
            }
        )
        return connection
