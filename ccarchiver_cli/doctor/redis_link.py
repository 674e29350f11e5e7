"""One question of a check to Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis import exceptions

from ccarchiver_cli.doctor.finding import NotCheckedError
from ccarchiver_core.redis_client import AWAY_ERRORS, make_client, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.settings import Settings

Answer = TypeVar("Answer")


def ask(settings: Settings, question: Callable[[Redis], Awaitable[Answer]]) -> Answer:
    """Put a question to Redis over a connection of its own.

    Raises
    ------
    NotCheckedError
        If Redis does not answer; the check `redis` says more about it.
    """
    try:
        return ask_plainly(settings, question)
    except AWAY_ERRORS:
        raise NotCheckedError("Redis does not answer") from None
    except exceptions.ResponseError as error:
        raise NotCheckedError(f"Redis refuses: {error}") from None


def ask_plainly(settings: Settings, question: Callable[[Redis], Awaitable[Answer]]) -> Answer:
    """Put a question to Redis; its errors come as they are."""
    return asyncio.run(_ask(settings, question))


async def _ask(settings: Settings, question: Callable[[Redis], Awaitable[Answer]]) -> Answer:
    redis = make_client(settings)
    try:
        return await question(redis)
    finally:
        await redis.aclose()


async def read_info(redis: Redis, section: str) -> dict[str, Any]:
    """Read a section of INFO."""
    return await redis.info(section)


async def read_config(redis: Redis, name: str) -> str | None:
    """Read one setting of the server; None if it does not tell (a site may have forbidden or renamed CONFIG)."""
    try:
        raw = cast("dict[object, object]", await redis.config_get(name))
    except exceptions.ResponseError:
        return None
    for value in raw.values():
        return text(value)
    return None


def cli(settings: Settings, *words: str) -> str:
    """Give the command line that says something to this Redis."""
    return " ".join(("redis-cli", "-h", settings.redis_host, "-p", str(settings.redis_port), *words))
