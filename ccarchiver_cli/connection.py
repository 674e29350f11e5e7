"""One question to Redis from the command line, with an error an operator can act on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import typer
from redis import exceptions

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.redis.client import UNAVAILABLE_ERRORS, make_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

Answer = TypeVar("Answer")

EXIT_UNAVAILABLE = 69
"""Redis does not answer (EX_UNAVAILABLE of sysexits.h)."""

EXIT_CONFIG = 78
"""The configuration is wrong (EX_CONFIG of sysexits.h)."""


def settings_or_exit() -> Settings:
    """Read the site file; ends the program with a message if that is wrong."""
    try:
        return load_settings()
    except ConfigError as error:
        typer.echo(f"ccarchiver: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None


def query_redis(question: Callable[[Redis, Settings], Awaitable[Answer]]) -> Answer:
    """Put a question to Redis; ends the program with a message if there is no answer."""
    settings = settings_or_exit()
    try:
        return asyncio.run(_ask(question, settings))
    except exceptions.ResponseError as error:
        typer.echo(f"ccarchiver: Redis at {settings.redis_address}: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except UNAVAILABLE_ERRORS as error:
        text = " ".join(str(error).split()).rstrip(".")
        typer.echo(f"ccarchiver: Redis at {settings.redis_address} does not answer: {text}; is it running?", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from None


async def _ask(question: Callable[[Redis, Settings], Awaitable[Answer]], settings: Settings) -> Answer:
    redis = make_client(settings)
    try:
        return await question(redis, settings)
    finally:
        await redis.aclose()
