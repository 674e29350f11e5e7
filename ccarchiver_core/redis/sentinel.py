"""Redis with Sentinel: each connection attempt first asks the Sentinels for the master."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
)
from typing_extensions import override

from ccarchiver_core.redis.auth import EncryptedConnection, tls_options
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT, TimeoutRedis

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings


class EncryptedSentinelManaged(SentinelManagedConnection, EncryptedConnection):
    """An encrypted connection to the master that the Sentinels report."""


class Sentinels(Sentinel):
    """The Sentinels of a site; if none reports a master, the error contains the reason of each."""

    @override
    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master.

        The Sentinels are queried one after the other. The one that last returned a master is first.

        Raises
        ------
        redis.asyncio.sentinel.MasterNotFoundError
            If no Sentinel reports a master. Callers wait, as for an unavailable Redis.
        """
        problems = []
        for index, sentinel in enumerate(self.sentinels):
            address = "{host}:{port}".format(**sentinel.connection_pool.connection_kwargs)
            try:
                masters = cast("dict[str, dict[str, Any]]", await sentinel.sentinel_masters())
            except UNAVAILABLE_ERRORS as error:
                problems.append(f"{address} {describe(error)}")
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels.insert(0, self.sentinels.pop(index))
                return str(state["ip"]), int(state["port"])
            problems.append(f"{address} knows no master {service_name} that is up")
        raise MasterNotFoundError(f"no Sentinel names the master: {'; '.join(problems)}")


class SentinelRedis(TimeoutRedis):
    """A client of the current master; `aclose` also closes the connections to the Sentinels."""

    sentinels: Sentinel

    @override
    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        await self.sentinels.aclose()


def make_sentinel_client(
    settings: Settings, options: dict[str, Any], *, single_connection_client: bool
) -> SentinelRedis:
    """Return a client of the master that the Sentinels report; it connects when it is first used.

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
    sentinel = Sentinels([])  # type: ignore[no-untyped-call]  # redis-py has no types here
    # A Sentinel that hangs must leave time to query the others within the limit of one command.
    limit = COMMAND_TIMEOUT / (len(settings.sentinels) + 1)
    for host, port in settings.sentinels:
        member = TimeoutRedis(
            host=host,
            port=port,
            protocol=2,
            socket_connect_timeout=limit,
            **tls_options(settings.redis_tls),
        )
        member.timeout = limit
        if settings.redis_tls.use:
            member.connection_pool.connection_class = EncryptedConnection
        sentinel.sentinels.append(member)
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]  # nor here
        settings.sentinel_service_name, sentinel, **options
    )
    if settings.redis_tls.use:
        pool.connection_class = EncryptedSentinelManaged
    client = SentinelRedis(connection_pool=pool, single_connection_client=single_connection_client)
    client.auto_close_connection_pool = True  # no other client uses this pool
    client.sentinels = sentinel
    return client
