"""Output that all commands share: JSON, times, durations and tables.

The output is readable in a pipe and without colour.
"""

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
"""Exit code: something is wrong, or it does not exist."""

NARROWEST = 20
"""Minimum width of a wrapped text in columns, on any terminal."""

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0

SHORT_S = 10.0
"""Durations below this are shown with milliseconds, longer ones in whole seconds."""


def console() -> Console:
    """Return a console: 80 columns in a pipe, colour only on a terminal without NO_COLOR.

    Numbers are not highlighted.
    """
    from ccarchiver_cli.safe_console import SafeConsole  # noqa: PLC0415  30 ms to import

    return SafeConsole(highlight=False, emoji=False, markup=False, soft_wrap=False)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return a table without rules, which is readable in a log and on a screen.

    Parameters
    ----------
    columns : `str`
        Headings of the columns.
    right : `tuple`
        Headings of the columns that are aligned to the right.
    """
    from rich import table as rich_table  # noqa: PLC0415  see `console`

    made = rich_table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        is_right = name in right
        made.add_column(
            name, justify="right" if is_right else "left", overflow="fold", no_wrap=is_right
        )
    return made


def wrapped(text: str, columns: int) -> list[str]:
    """Return a text as lines of at most `columns` columns.

    Names, paths and addresses are not broken; a longer one has a line of its own.
    """
    return textwrap.wrap(
        text, max(columns, NARROWEST), break_long_words=False, break_on_hyphens=False
    )


def say(text: str) -> None:
    """Print a text, wrapped to the width of the terminal (80 columns in a pipe)."""
    typer.echo("\n  ".join(wrapped(harmless(text), width() - 2)))


_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Escapes for control characters that JSON permits but a terminal interprets."""


def print_json(value: object) -> None:
    """Print a value as JSON. The fields keep the sequence of the models."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False).translate(_ESCAPED))


def fail(text: str, code: int = EXIT_WRONG) -> typer.Exit:
    """Print an error to standard error and return the exception that the caller raises."""
    typer.echo(f"ccarchiver: {harmless(text)}", err=True)
    return typer.Exit(code)


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether the operator confirms a question.

    The answer is yes with ``--yes`` and without a terminal.
    """
    return yes or not sys.stdin.isatty() or typer.confirm(question)


def utc(at: float) -> str:
    """Return a Unix time as date and time of day in UTC, in whole seconds."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_of_day(at: float) -> str:
    """Return a Unix time as the time of day in UTC, in milliseconds."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%H:%M:%S.%f")[:-3]


def duration(seconds: float) -> str:
    """Return a duration with at most two units.

    Examples: 0.012 s, 35 s, 4 min 5 s, 3 h 12 min, 2 d 4 h.
    """
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
    """Return a duration in whole seconds, where milliseconds do not matter."""
    return duration(seconds) if seconds >= SHORT_S else f"{max(0.0, seconds):.0f} s"


def ago(at: float, now: float) -> str:
    """Return how long before `now` a Unix time was."""
    return f"{rough(now - at)} ago"
