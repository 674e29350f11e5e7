"""Queries to Redis from the command line, with error messages for an operator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import typer
from redis import exceptions

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG, EXIT_UNAVAILABLE
from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.connection_failures import failure_remedy
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_core.redis.server_check import RejectedConnectionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

Answer = TypeVar("Answer")

DOCTOR = "then: ccarchiver doctor"
"""End of each error text: the command that checks whether the remedy was right."""


def settings_or_exit() -> Settings:
    """Return the settings of the site file.

    Raises
    ------
    typer.Exit
        If the site file is wrong; the reason is printed.
    """
    try:
        return load_settings()
    except ConfigError as error:
        typer.echo(f"ccarchiver: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None


def query_redis(question: Callable[[Redis, Settings], Awaitable[Answer]]) -> Answer:
    """Run a query over a new connection to Redis and return its result.

    Raises
    ------
    typer.Exit
        If the site file is wrong, or if Redis returns an error or does not answer; the reason is
        printed.
    """
    settings = settings_or_exit()
    try:
        return asyncio.run(_ask(question, settings))
    except exceptions.ResponseError as error:
        text, code = describe(error), EXIT_CONFIG
    except exceptions.InvalidResponse:
        keys = redis_address_keys(settings)
        text = f"does not answer in the protocol of Redis; correct {keys}, or REDIS_TLS"
        code = EXIT_CONFIG
    except (exceptions.AuthenticationError, RejectedConnectionError) as error:
        text, code = describe(error), EXIT_UNAVAILABLE
    except UNAVAILABLE_ERRORS as error:
        text = f"{describe(error)}; {failure_remedy(error, redis_address_keys(settings))}"
        code = EXIT_UNAVAILABLE
    typer.echo(f"ccarchiver: Redis at {settings.redis_address} {text}; {DOCTOR}", err=True)
    raise typer.Exit(code)


def redis_address_keys(settings: Settings) -> str:
    """Return the keys of the site file that name the address of Redis."""
    return "REDIS_SENTINELS" if settings.redis_sentinels else "REDIS_HOST and REDIS_PORT"


async def _ask(
    question: Callable[[Redis, Settings], Awaitable[Answer]], settings: Settings
) -> Answer:
    redis = make_client(settings)
    try:
        return await question(redis, settings)
    finally:
        await redis.aclose()
