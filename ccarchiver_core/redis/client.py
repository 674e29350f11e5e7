"""Connections to Redis, set up so that a lost reply is never answered by a blind second write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from typing_extensions import override

from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import credentials_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.typing import EncodableT

    from ccarchiver_core.config.settings import Settings

COMMAND_TIMEOUT = 5.0
"""Seconds a Redis command may take; loopback answers in milliseconds, an fsync on a slow disk in one or two."""

MAILBOX_BLOCK_S = 2.0
"""Seconds one blocking read of a mailbox waits, so that a stop is never far."""

UNAVAILABLE_ERRORS = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.BusyLoadingError, OSError)
"""Redis is not there, or not yet: wait and repeat."""

_ACL_IN_SCRIPT = "ACL failure in script"
"""How Redis 7 begins what it says of a script that does what its user may not."""

_WRITE_REJECTED_CODES = frozenset({"OOM", "MISCONF", "READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "BUSY"})
"""Errors by which a Redis that is there says that it cannot write now (full, disk read-only, ...)."""


_REMEDIES = {
    "NOREPLICAS": "start its replicas, or lower min-replicas-to-write",
    "LOADING": "it reads its data; wait",
    "MASTERDOWN": "it is a replica without a master; start that, or mend REDIS_HOST",
    "READONLY": "it is a replica; REDIS_HOST must be the master",
    "BUSY": "a script of somebody keeps it busy: redis-cli script kill",
}
"""What helps against an error other than a full memory or disk."""

Result = TypeVar("Result")


async def retry_until_available(read: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat a command that may be repeated (a read; a write that is the same when done twice) until Redis does it."""
    backoff = Backoff()
    while True:
        try:
            return await read()
        except (*UNAVAILABLE_ERRORS, exceptions.ResponseError) as error:
            await backoff_or_raise(error, backoff)


def is_write_rejected(error: BaseException) -> bool:
    """Tell a Redis that cannot write for the moment, or does not let us, from one that was asked nonsense."""
    if isinstance(error, exceptions.ReadOnlyError | exceptions.OutOfMemoryError):  # redis-py takes their codes off
        return True
    return _is_permission_denied(error) or (
        isinstance(error, exceptions.ResponseError) and str(error).split(" ", 1)[0] in _WRITE_REJECTED_CODES
    )


def _is_permission_denied(error: BaseException) -> bool:
    """Tell whether our user has too few rights: an operator mends that, and the work waits for it."""
    return isinstance(error, exceptions.NoPermissionError) or (
        isinstance(error, exceptions.ResponseError) and _ACL_IN_SCRIPT in str(error)
    )


def describe(error: BaseException) -> str:
    """Say in one line what an error of Redis means for whoever has to mend it."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, exceptions.AuthenticationError):
        return f"refuses the login: {text}; mend redis_users in {credentials_path()}, or REDIS_LOGIN"
    return f"refuses writes: {text}; {_remedy(error)}" if is_write_rejected(error) else f"does not answer: {text}"


def _remedy(error: BaseException) -> str:
    if _is_permission_denied(error):
        return "give the user the rights that deploy/redis-users.acl lists"
    return _REMEDIES.get(str(error).split(" ", 1)[0], "free its memory or its disk")


async def backoff_or_raise(error: Exception, backoff: Backoff) -> None:
    """Wait if Redis is away or cannot write for the moment; raise the error again if waiting would not help."""
    import structlog  # noqa: PLC0415  a quarter of the start of the command line, which waits for nobody

    log = structlog.get_logger(__name__)
    if isinstance(error, UNAVAILABLE_ERRORS):
        await backoff.wait(log, "redis.unavailable", error=" ".join(str(error).split()) or type(error).__name__)
    elif is_write_rejected(error):
        await backoff.wait(log, "redis.write_rejected", error=str(error), remedy=_remedy(error))
    elif "DB index is out of range" in str(error):
        raise ConfigError(
            "ARCHIVER_REDIS_DB: this Redis has no database of that number (its `databases` setting); use a smaller one"
        ) from error
    else:
        raise error


class TimeoutRedis(Redis):
    """A client whose every command ends within a limit, by a time-out of our own.

    Notes
    -----
    redis-py's own ``socket_timeout`` sends through `asyncio.wait_for`, which in Python 3.11 swallows a cancellation
    that comes just when the sending is done (https://github.com/python/cpython/issues/86296): measured, one in eight
    cancelled tasks then lived on for ever. `asyncio.timeout` does not.
    """

    timeout: float = COMMAND_TIMEOUT

    @override
    async def execute_command(self, *args: EncodableT, **options: Any) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                # redis-py leaves just this method without types
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise exceptions.TimeoutError(f"no answer to {args[0]!r} in {self.timeout:g} s") from error


def _access(settings: Settings) -> dict[str, Any]:
    if not settings.redis_login and not settings.redis_tls.use:
        return {}
    from ccarchiver_core.redis.auth import connection_options  # noqa: PLC0415  most sites need nothing of it

    return connection_options(settings)


def make_client(settings: Settings, *, blocking: bool = False) -> TimeoutRedis:
    """Make a client; it connects when first used.

    Parameters
    ----------
    settings : `Settings`
        Address and database, login, encryption.
    blocking : `bool`
        For blocking reads of a mailbox: the socket may be silent for longer than one block.

    Raises
    ------
    ConfigError
        If a file that login or encryption need is missing or wrong.

    Notes
    -----
    redis-py repeats a command whose reply was lost, which would write twice: its retries are off, and
    `ccarchiver_core.store.transaction` repeats writes in a way that Redis recognises.
    """
    # Who reads a mailbox is alone with its client: a pool would cost it a third of each command.
    client: TimeoutRedis
    options = _access(settings) | {
        "db": settings.archiver_redis_db,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_connect_timeout": COMMAND_TIMEOUT,
        "socket_timeout": None,  # see BoundedRedis
        "socket_keepalive": True,
        "health_check_interval": 0,
        "protocol": 2,  # the replies of the server this is written for (7.0), whatever the client's default is
    }
    if settings.redis_sentinels:
        from ccarchiver_core.redis.sentinel import make_sentinel_client  # noqa: PLC0415  most sites have none

        client = make_sentinel_client(settings, options, single_connection_client=blocking)
    else:
        client = TimeoutRedis(
            host=settings.redis_host, port=settings.redis_port, single_connection_client=blocking, **options
        )
        if settings.redis_tls.use:
            from ccarchiver_core.redis.auth import EncryptedConnection  # noqa: PLC0415  as with `_access`

            client.connection_pool.connection_class = EncryptedConnection
    client.timeout = COMMAND_TIMEOUT + (MAILBOX_BLOCK_S if blocking else 0.0)
    return client


# redis-py types its replies as unions of all protocols and decodings; these say what ours are.


def text(raw: object) -> str:
    """Decode one reply; bytes that are not UTF-8 are kept visible, never raised about."""
    return raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)


async def read_hash(redis: Redis, name: str) -> dict[str, str]:
    """Read a hash as text; empty if it is not there."""
    raw = cast("dict[bytes, bytes]", await redis.hgetall(name))
    return {text(key): text(value) for key, value in raw.items()}


async def read_members(redis: Redis, name: str) -> list[str]:
    """Read a sorted set's members as text, smallest score first."""
    return [text(member) for member in cast("list[bytes]", await redis.zrange(name, 0, -1))]


async def read_set(redis: Redis, name: str) -> list[str]:
    """Read a set as sorted text."""
    return sorted(text(member) for member in cast("set[bytes]", await redis.smembers(name)))


async def transact(redis: Redis, *commands: tuple[str | bytes | int, ...]) -> None:
    """Run commands in one transaction, all or none; for the command line, which holds no lease."""
    async with asyncio.timeout(COMMAND_TIMEOUT), redis.pipeline(transaction=True) as pipe:
        for words in commands:
            pipe.execute_command(*words)
        await pipe.execute()


Entries = list[tuple[bytes, dict[bytes, bytes] | None]]


async def read_stream(redis: Redis, name: str, group: str, consumer: str, position: str, count: int) -> Entries:
    """Read entries of one stream for a group's consumer, waiting up to `MAIL_BLOCK` seconds for the first."""
    raw = await redis.xreadgroup(group, consumer, {name: position}, count=count, block=int(MAILBOX_BLOCK_S * 1000))
    streams = cast("list[tuple[bytes, Entries]]", raw or [])
    return [entry for _, entries in streams for entry in entries]
