"""Clients of Redis that never repeat a write by themselves after a lost reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ccarchiver_core.redis.replies import MAILBOX_BLOCK_S
from ccarchiver_core.redis.server_check import CheckedConnection
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT, CONNECT_TIMEOUT, TimeoutRedis
from ccarchiver_core.redis.waiting_pool import WaitingPool

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings


def _access(settings: Settings) -> dict[str, Any]:
    if not settings.redis_login and not settings.redis_tls.use:
        return {}
    # Imported here, because most sites need neither.
    from ccarchiver_core.redis.auth import connection_options  # noqa: PLC0415

    return connection_options(settings)


def _connection_class(*, is_encrypted: bool) -> type[CheckedConnection]:
    if not is_encrypted:
        return CheckedConnection
    from ccarchiver_core.redis.auth import EncryptedCheckedConnection  # noqa: PLC0415  see above

    return EncryptedCheckedConnection


def make_client(settings: Settings, *, blocking: bool = False) -> TimeoutRedis:
    """Return a client, which connects when it is first used.

    Parameters
    ----------
    settings : `Settings`
        Address, database, login and encryption.
    blocking : `bool`
        Whether it is for blocking reads of a mailbox; the time limit of a command is then longer by
        `MAILBOX_BLOCK_S`.

    Raises
    ------
    ConfigError
        If a file for login or encryption is missing or invalid.

    Notes
    -----
    redis-py repeats a command whose reply was lost, and could thus write twice. Its retries are
    off. `ccarchiver_core.store.transaction_pipeline` repeats writes so that Redis detects a
    repetition.
    """
    # The reader of a mailbox does not share its client. A pool would cost a third of the time of
    # each of its commands.
    client: TimeoutRedis
    options = _access(settings) | {
        "db": settings.archiver_redis_db,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": None,  # see `TimeoutRedis`
        "socket_keepalive": True,
        "health_check_interval": 0,
        # The form of replies that this code expects (server 7.0), whatever the client's default.
        "protocol": 2,
    }
    if settings.redis_sentinels:
        # Imported here, because most sites have no Sentinel.
        from ccarchiver_core.redis.sentinel import make_sentinel_client  # noqa: PLC0415

        client = make_sentinel_client(settings, options, single_connection_client=blocking)
    else:
        pool = WaitingPool(
            connection_class=_connection_class(is_encrypted=options.pop("ssl", False)),
            host=settings.redis_host,
            port=settings.redis_port,
            **options,
        )
        client = TimeoutRedis(connection_pool=pool, single_connection_client=blocking)
        client.auto_close_connection_pool = True  # no other client uses this pool
    client.timeout = COMMAND_TIMEOUT + (MAILBOX_BLOCK_S if blocking else 0.0)
    return client
