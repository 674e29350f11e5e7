"""Redis with Sentinels: every connection is to the present master, and ends with a failover."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from redis import exceptions
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from typing_extensions import override

from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_core.redis.auth import EncryptedConnection, tls_options
from ccarchiver_core.redis.master_watch import MasterWatch
from ccarchiver_core.redis.sentinels import Address, Sentinels
from ccarchiver_core.redis.server_check import CheckedConnection
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT, CONNECT_TIMEOUT, TimeoutRedis
from ccarchiver_core.redis.waiting_pool import WaitingPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.config.settings import Settings


class MasterConnection(CheckedConnection):
    """A connection to the master that the Sentinels name; each attempt to connect asks them.

    Notes
    -----
    redis-py's own class does this in `connect`. A client with a single connection does not call
    that method when it reconnects, so it stays with the old address
    (https://github.com/redis/redis-py/issues/3874).
    """

    def __init__(self, *, master_pool: MasterPool, **options: Any) -> None:  # noqa: ANN401
        self._master_pool = master_pool
        super().__init__(**options)

    @override
    async def _connect(self) -> None:
        address = await self._master_pool.find_master()
        self.host, self.port = address
        async with self._master_pool.interrupting(address):
            await super()._connect()  # type: ignore[no-untyped-call]  # redis-py has no type here

    @override
    def check_hello(self, hello: dict[str, str]) -> None:
        super().check_hello(hello)
        if hello.get("role") != "master":
            raise exceptions.ConnectionError(
                f"the Sentinels name {self.host}:{self.port} as master, but it is a replica"
            )

    @override
    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except exceptions.ReadOnlyError as error:
            raise exceptions.ConnectionError("the server has become a replica") from error

    def abort_unless(self, master: Address | None) -> None:
        """End the connection at once unless it is to that server; callable from any task.

        A command that waits for its reply raises a ConnectionError.
        """
        if self._writer is not None and (self.host, self.port) != master:
            self._writer.transport.abort()


class EncryptedMasterConnection(MasterConnection, EncryptedConnection):
    """An encrypted connection to the master that the Sentinels name."""


class MasterPool(WaitingPool):
    """The connections of one client. While it is open, it watches the Sentinels.

    Parameters
    ----------
    sentinels : `Sentinels`
        The Sentinels.
    options : `dict`
        Options of the connections, and ``connection_class``.
    """

    def __init__(self, sentinels: Sentinels, **options: Any) -> None:  # noqa: ANN401
        # A proxy: the text of a pool contains its options, and would contain itself without end.
        super().__init__(**options, master_pool=weakref.proxy(self))
        self._sentinels = sentinels
        self._watching: asyncio.Task[None] | None = None
        self._connecting = dict[asyncio.Timeout, Address]()
        self._master: Address | None = None

    async def find_master(self) -> Address:
        """Return the address of the master; the first call begins to watch the Sentinels."""
        if self._watching is None or self._watching.done():
            watch = MasterWatch(self._sentinels, self._follow)
            self._watching = asyncio.create_task(watch.run())
        return await self._sentinels.find_master()

    @contextlib.asynccontextmanager
    async def interrupting(self, address: Address) -> AsyncIterator[None]:
        """Interrupt an attempt to connect to a master that is replaced: its host may be down.

        Raises
        ------
        redis.asyncio.sentinel.MasterNotFoundError
            If it was interrupted.
        """
        attempt = asyncio.timeout(None)
        self._connecting[attempt] = address
        try:
            async with attempt:
                yield
        except TimeoutError:
            if attempt.expired():
                msg = "the Sentinels have replaced the master"
                raise MasterNotFoundError(msg) from None
            raise
        finally:
            del self._connecting[attempt]

    @override
    async def aclose(self) -> None:
        # Each step also happens if the caller is cancelled during the one before it.
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._sentinels.aclose)
            stack.push_async_callback(super().aclose)
            if self._watching is not None:
                watching, self._watching = self._watching, None
                await cancel_and_wait(watching)

    def _follow(self, master: Address | None) -> None:
        """End all connections that are not to the present master."""
        for connection in (*self._available_connections, *self._in_use_connections):
            if isinstance(connection, MasterConnection):
                connection.abort_unless(master)
        now = asyncio.get_running_loop().time()
        for attempt, address in self._connecting.items():
            if address != master:
                attempt.reschedule(now)
        if master is None:
            return
        if self._master not in {None, master}:
            _log_change(master)
        self._master = master


def _log_change(master: Address) -> None:
    import structlog  # noqa: PLC0415  see `ccarchiver_core.redis.retry`

    if structlog.is_configured():  # the command line has no log
        host, port = master
        structlog.get_logger(__name__).warning("redis.master_changed", master=f"{host}:{port}")


class SentinelRedis(TimeoutRedis):
    """A client of the present master."""

    no_answer: ClassVar[str] = "did not answer"
    """The time limit includes the queries to the Sentinels, so there may be no connection yet."""


def make_sentinel_client(
    settings: Settings, options: dict[str, Any], *, single_connection_client: bool
) -> SentinelRedis:
    """Return a client of the master that the Sentinels name; it connects when it is first used.

    Parameters
    ----------
    settings : `Settings`
        Addresses of the Sentinels, and their name for the master.
    options : `dict`
        Options of the connections to the master.
    single_connection_client : `bool`
        Whether the client keeps one connection instead of a pool.

    Raises
    ------
    ConfigError
        If a file for encryption is missing or invalid.
    """
    sentinels = Sentinels(_members(settings), settings.sentinel_service_name)
    kind = EncryptedMasterConnection if options.pop("ssl", False) else MasterConnection
    pool = MasterPool(sentinels, connection_class=kind, **options)
    client = SentinelRedis(connection_pool=pool, single_connection_client=single_connection_client)
    client.auto_close_connection_pool = True  # no other client uses this pool
    return client


def _members(settings: Settings) -> list[TimeoutRedis]:
    """Return a client for each Sentinel."""
    # A Sentinel that hangs must leave time to connect to the master within the limit of a command.
    limit = COMMAND_TIMEOUT / (len(settings.sentinels) + 1)
    members = []
    for host, port in settings.sentinels:
        member = TimeoutRedis(
            host=host,
            port=port,
            protocol=2,
            # A repeated attempt would use up the time limit, and the reason would be lost.
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=limit * CONNECT_TIMEOUT / COMMAND_TIMEOUT,
            **tls_options(settings.redis_tls),
        )
        member.timeout = limit
        if settings.redis_tls.use:
            member.connection_pool.connection_class = EncryptedConnection
        members.append(member)
    return members
