"""Queries of the checks to Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis import exceptions

from ccarchiver_cli.doctor.finding import NotCheckedError
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.redis.replies import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

Answer = TypeVar("Answer")


def query(settings: Settings, question: Callable[[Redis], Awaitable[Answer]]) -> Answer:
    """Run a query over a new connection to Redis and return its result.

    Raises
    ------
    NotCheckedError
        If Redis does not answer; the check `redis` reports the details.
    """
    try:
        return query_without_login(settings, question)
    except ConfigError:
        raise NotCheckedError("the login or the encryption for Redis is wrong") from None
    except UNAVAILABLE_ERRORS:
        raise NotCheckedError("Redis does not answer") from None
    except exceptions.ResponseError as error:
        raise NotCheckedError(f"Redis returned an error: {error}") from None


def query_without_login(
    settings: Settings, question: Callable[[Redis], Awaitable[Answer]]
) -> Answer:
    """Run a query over a new connection to Redis; errors are not converted."""
    return asyncio.run(_ask(settings, question))


async def _ask(settings: Settings, question: Callable[[Redis], Awaitable[Answer]]) -> Answer:
    redis = make_client(settings)
    try:
        return await question(redis)
    finally:
        await redis.aclose()


async def read_info(redis: Redis, section: str) -> dict[str, Any]:
    """Return a section of INFO."""
    return await redis.info(section)


async def read_config(redis: Redis, name: str) -> str | None:
    """Return one setting of the server.

    The result is None if the server does not return it: a site may forbid or rename CONFIG.
    """
    try:
        raw = cast("dict[object, object]", await redis.config_get(name))
    except exceptions.ResponseError:
        return None
    for value in raw.values():
        return text(value)
    return None


def cli(settings: Settings, *words: str) -> str:
    """Return a command line for this Redis; redis-cli prompts for the password."""
    host, port = settings.redis_host, settings.redis_port
    if settings.redis_sentinels:  # the first Sentinel returns the address of the master
        host, port = settings.sentinels[0]
        words = (
            "sentinel",
            "get-master-addr-by-name",
            settings.sentinel_service_name,
            "# and then there:",
            *words,
        )
    return " ".join(("redis-cli", "-h", host, "-p", str(port), *_access(settings), *words))


def _access(settings: Settings) -> list[str]:
    tls = settings.redis_tls
    words = ["--tls"] if tls.use else []
    for option, path in (
        ("--cacert", tls.ca_file),
        ("--cert", tls.cert_file),
        ("--key", tls.key_file),
    ):
        words += [option, str(path)] if path else []
    return words + (["--user", "USER", "--askpass"] if settings.redis_login else [])
