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
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

Answer = TypeVar("Answer")


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
        typer.echo(f"ccarchiver: Redis at {settings.redis_address}: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except UNAVAILABLE_ERRORS as error:
        text = " ".join(str(error).split()).rstrip(".")
        typer.echo(
            f"ccarchiver: Redis at {settings.redis_address} does not answer: {text}; "
            "is it running?",
            err=True,
        )
        raise typer.Exit(EXIT_UNAVAILABLE) from None


async def _ask(
    question: Callable[[Redis, Settings], Awaitable[Answer]], settings: Settings
) -> Answer:
    redis = make_client(settings)
    try:
        return await question(redis, settings)
    finally:
        await redis.aclose()
