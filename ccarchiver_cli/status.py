"""``ccarchiver status``: alarms with their remedies, then every part of the archiver.

The command prints one reading, or with ``--watch`` one every second.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccarchiver_cli import status_lines, supervisord
from ccarchiver_cli.connection import query_redis, settings_or_exit
from ccarchiver_cli.output import EXIT_WRONG, console, print_json
from ccarchiver_core.base.exit_codes import EXIT_UNAVAILABLE
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.status import overview
from ccarchiver_core.status.alarms import alarms_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis
    from rich.console import Console
    from rich.text import Text

    from ccarchiver_core.config.settings import Settings

WATCH_INTERVAL_S = 1.0
"""Interval of ``--watch``: the workers write their heartbeats once a second."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(show)


def show(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Repeat every second, until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON, for programs; with --watch one line a second."),
    ] = False,
) -> None:
    """Show the alarms with their remedies, then the state of every part of the archiver.

    Exit code: 1 if there is an alarm, 69 if Redis is unavailable.
    """
    if watch:
        _watch(settings_or_exit(), as_json=as_json)
        return
    reading = query_redis(read)
    if as_json:
        print_json(as_dict(reading))
    else:
        out = console()
        for line in status_lines.lines(reading, out.width):
            out.print(line, soft_wrap=True)
    if not reading.view.redis.answers:
        raise typer.Exit(EXIT_UNAVAILABLE)
    if reading.alarms:
        raise typer.Exit(EXIT_WRONG)


async def read(redis: Redis, settings: Settings) -> status_lines.Reading:
    """Return one reading; supervisord is queried only if Redis does not answer."""
    view = await overview.collect(redis, settings)
    programs = None if view.redis.answers else await asyncio.to_thread(supervisord.programs)
    return status_lines.Reading(view=view, alarms=alarms_of(view), programs=programs)


def as_dict(reading: status_lines.Reading) -> dict[str, Any]:
    """Return a reading for JSON, with the verdict as the first field."""
    programs = reading.programs
    return {
        "well": not reading.alarms,
        "alarms": [alarm.model_dump(mode="json") for alarm in reading.alarms],
        "supervisord": None if programs is None else [program.model_dump() for program in programs],
        **reading.view.model_dump(mode="json"),
    }


def _watch(settings: Settings, *, as_json: bool) -> None:
    """Show a reading every second until Ctrl-C, for which typer exits with 130.

    An outage of Redis does not end the command.
    """
    out = console()
    if out.is_terminal and not as_json:
        asyncio.run(_redraw(settings, out))
    else:
        asyncio.run(_print_each(settings, out, as_json=as_json))


async def _readings(settings: Settings) -> AsyncIterator[status_lines.Reading]:
    redis = make_client(settings)
    try:
        while True:
            yield await read(redis, settings)
            await asyncio.sleep(WATCH_INTERVAL_S)
    finally:
        await redis.aclose()


async def _redraw(settings: Settings, out: Console) -> None:
    """Redraw the whole screen for each reading, in one write so that it does not flicker.

    The terminal restores its earlier screen at the end.
    """
    from rich.live import Live  # noqa: PLC0415  only a terminal needs it
    from rich.text import Text as RichText  # noqa: PLC0415  likewise

    def fitted(lines: list[Text]) -> Text:
        room = out.height - 1
        if len(lines) > room:
            lines = [
                *lines[: room - 1],
                RichText(f"… {len(lines) - room + 1} more lines: ccarchiver status", "dim"),
            ]
        return RichText("\n").join(lines)

    with Live(console=out, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        async for reading in _readings(settings):
            live.update(fitted(status_lines.lines(reading, out.width)), refresh=True)


async def _print_each(settings: Settings, out: Console, *, as_json: bool) -> None:
    """Print one reading after the other, for a pipe or a file."""
    async for reading in _readings(settings):
        if as_json:
            typer.echo(json.dumps(as_dict(reading)))
            continue
        for line in status_lines.lines(reading, out.width):
            out.print(line, soft_wrap=True)
        out.print()
