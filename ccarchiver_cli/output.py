"""What every command prints alike: JSON, times, durations, tables that are readable in a pipe and without colour."""

from __future__ import annotations

import datetime as dt
import json
import sys
import textwrap
from typing import TYPE_CHECKING

import typer

from ccarchiver_cli.text_layout import harmless, width

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

EXIT_WRONG = 1
"""What was asked for is not there, or not well."""

NARROWEST = 20
"""Columns a wrapped text has at least, however narrow the terminal."""

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0

SHORT_S = 10.0
"""Below it a duration has milliseconds, above it a person counts whole seconds."""


def console() -> Console:
    """Make the console: 80 columns in a pipe, colour only on a terminal and without NO_COLOR, numbers left alone."""
    from ccarchiver_cli.safe_console import SafeConsole  # noqa: PLC0415  30 ms that ``--json`` does without

    return SafeConsole(highlight=False, emoji=False, markup=False, soft_wrap=False)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make a table without lines: columns of text, as readable in a log as on a screen.

    Parameters
    ----------
    right : `tuple`
        Columns that are aligned on the right.
    """
    from rich import table as rich_table  # noqa: PLC0415  see `console`

    made = rich_table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        is_right = name in right
        made.add_column(name, justify="right" if is_right else "left", overflow="fold", no_wrap=is_right)
    return made


def wrapped(text: str, columns: int) -> list[str]:
    """Wrap a text into lines; names, paths and addresses stay whole, a longer one stands alone in its line."""
    return textwrap.wrap(text, max(columns, NARROWEST), break_long_words=False, break_on_hyphens=False)


def say(text: str) -> None:
    """Print a sentence, wrapped to the width of the terminal, 80 columns in a pipe."""
    typer.echo("\n  ".join(wrapped(harmless(text), width() - 2)))


_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON leaves as they are, and a terminal does not."""


def print_json(value: object) -> None:
    """Print JSON for a program: sorted by nothing, so that fields stay in the order of the models."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False).translate(_ESCAPED))


def fail(text: str, code: int = EXIT_WRONG) -> typer.Exit:
    """Say on standard error what is wrong; the value is to be raised."""
    typer.echo(f"ccarchiver: {harmless(text)}", err=True)
    return typer.Exit(code)


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; without one, or with ``--yes``, whoever runs this means it."""
    return yes or not sys.stdin.isatty() or typer.confirm(question)


def utc(at: float) -> str:
    """Give a Unix time as date and time of day in UTC, to a second."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_of_day(at: float) -> str:
    """Give a Unix time as the time of day in UTC, to a millisecond."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%H:%M:%S.%f")[:-3]


def duration(seconds: float) -> str:
    """Give a duration as a person says it, with two units at most: 0.012 s, 35 s, 4 min 5 s, 3 h 12 min, 2 d 4 h."""
    if seconds < SHORT_S:
        return f"{max(0.0, seconds):.3f} s"
    for unit, name, below, lesser in (
        (DAY_S, "d", HOUR_S, "h"),
        (HOUR_S, "h", MINUTE_S, "min"),
        (MINUTE_S, "min", 1.0, "s"),
    ):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name} {seconds % unit // below:.0f} {lesser}"
    return f"{seconds:.0f} s"


def rough(seconds: float) -> str:
    """Give a duration to whole seconds: how long something lasts or was, where a millisecond says nothing."""
    return duration(seconds) if seconds >= SHORT_S else f"{max(0.0, seconds):.0f} s"


def ago(at: float, now: float) -> str:
    """Say how long ago a Unix time was."""
    return f"{rough(now - at)} ago"
