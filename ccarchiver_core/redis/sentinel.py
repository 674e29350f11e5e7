"""Redis by Sentinel: whoever connects asks which server is the master now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool, SentinelManagedConnection
from typing_extensions import override

from ccarchiver_core.redis.auth import EncryptedConnection, tls_options
from ccarchiver_core.redis.client import COMMAND_TIMEOUT, UNAVAILABLE_ERRORS, TimeoutRedis, describe

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings


class EncryptedSentinelManaged(SentinelManagedConnection, EncryptedConnection):
    """An encrypted connection to the master that the Sentinels name."""


class Sentinels(Sentinel):
    """The Sentinels of a site; says in few words why none of them helps."""

    @override
    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Ask one after the other, the one that helped last first, for the master's host and port.

        Raises
        ------
        redis.asyncio.sentinel.MasterNotFoundError
            If none knows it: it is waited for, as for a Redis that is away.
        """
        refusals = []
        for number, one in enumerate(self.sentinels):
            where = "{host}:{port}".format(**one.connection_pool.connection_kwargs)
            try:
                masters = cast("dict[str, dict[str, Any]]", await one.sentinel_masters())
            except UNAVAILABLE_ERRORS as error:
                refusals.append(f"{where} {describe(error)}")
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels.insert(0, self.sentinels.pop(number))
                return str(state["ip"]), int(state["port"])
            refusals.append(f"{where} knows no master {service_name} that is up")
        raise MasterNotFoundError(f"no Sentinel names the master: {'; '.join(refusals)}")


class SentinelRedis(TimeoutRedis):
    """A client of the master, whichever it is; closing it closes the connections to the Sentinels too."""

    sentinels: Sentinel

    @override
    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        await self.sentinels.aclose()


def make_sentinel_client(
    settings: Settings, options: dict[str, Any], *, single_connection_client: bool
) -> SentinelRedis:
    """Make a client of the master that the site's Sentinels name; it connects when first used.

    Parameters
    ----------
    settings : `Settings`
        The Sentinels, and what they call the master.
    options : `dict`
        For connections to the master.
    single_connection_client : `bool`
        Whether it holds on to one connection.

    Raises
    ------
    ConfigError
        If a file that encryption needs is missing or wrong.
    """
    sentinel = Sentinels([])  # type: ignore[no-untyped-call]  # redis-py has no types there
    # One that hangs must leave time for the others within the limit of one command.
    limit = COMMAND_TIMEOUT / (len(settings.sentinels) + 1)
    for host, port in settings.sentinels:
        one = TimeoutRedis(
            host=host, port=port, protocol=2, socket_connect_timeout=limit, **tls_options(settings.redis_tls)
        )
        one.timeout = limit
        if settings.redis_tls.use:
            one.connection_pool.connection_class = EncryptedConnection
        sentinel.sentinels.append(one)
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]  # nor there
        settings.sentinel_service_name, sentinel, **options
    )
    if settings.redis_tls.use:
        pool.connection_class = EncryptedSentinelManaged
    client = SentinelRedis(connection_pool=pool, single_connection_client=single_connection_client)
    client.auto_close_connection_pool = True  # it is ours alone
    client.sentinels = sentinel
    return client
