"""``ccarchiver logs``: the log lines of all workers about one image or one ACK_ID, by time."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ccarchiver_cli.log_files import LogFiles
from ccarchiver_cli.log_query import LEVEL_HELP, Level, LogLine, LogQuery
from ccarchiver_cli.options import require_text
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.config.settings import LOG_DIR_VARIABLE, load_settings
from ccarchiver_core.keys import Worker
from ccarchiver_core.log.log_line import readable
from ccarchiver_core.log.logs import FILE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_NOT_FOUND = 1
"""Exit code: no line matches."""

FOLLOW_INTERVAL = 0.5
"""Seconds between two reads of new lines."""

_AGO = re.compile(r"(?P<count>\d+)(?P<unit>[smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

WORKER_HELP = f"Show only the lines of this worker: {', '.join(Worker)}."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("logs")(show)


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whole name of an image, or an ACK_ID.")
    ],
    *,
    worker: Annotated[Worker | None, typer.Option(metavar="WORKER", help=WORKER_HELP)] = None,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Show only lines from this time on: 2026-11-22T08:18 (UTC), "
            "or how long ago: 90s, 10m, 2h, 1d.",
        ),
    ] = "",
    level: Annotated[Level, typer.Option(metavar="LEVEL", help=LEVEL_HELP)] = Level.DEBUG,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue with new lines, until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the lines as they are in the files.")
    ] = False,
) -> None:
    """Show the log lines of all workers about one image or one ACK_ID, by time.

    Redis and the workers may be down. Exit code 1 if no line matches.
    """
    require_text(name, "NAME", "type the name of an image or an ACK_ID")
    if name.isdecimal():
        raise typer.BadParameter(
            f"{name!r} matches many lines; give the whole name, which ccarchiver images lists"
        )
    wanted = LogQuery(name, _time(since), level)
    folder = _log_dir()
    files = LogFiles(folder, str(worker or ""))
    with contextlib.closing(files):
        found = _print_new(files, wanted, folder, as_json=as_json)
        _note(files, following=follow)
        if follow:
            with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends --follow
                while True:
                    time.sleep(FOLLOW_INTERVAL)
                    _print_new(files, wanted, folder, as_json=as_json)
        elif not found:
            names = f"{folder / FILE_PREFIX}{worker or '*'}.log*"
            text = f"no line {wanted.description} in {files.count} files {names}"
            if not files.count:
                text = f"there is no log file {names}"
            typer.echo(f"ccarchiver: {text}", err=True)
            raise typer.Exit(EXIT_NOT_FOUND)


def collect(files: LogFiles, wanted: LogQuery) -> list[LogLine]:
    """Return the new lines that match, sorted by time.

    Raises
    ------
    OSError
        If the log directory cannot be read.
    """
    return sorted(line for line in _parsed(files, wanted.search_bytes) if wanted.has(line))


def _parsed(files: LogFiles, needle: bytes) -> Iterator[LogLine]:
    for worker, raw in files.lines_with(needle):
        try:
            fields = json.loads(raw)
            at = dt.datetime.fromisoformat(fields["timestamp"]).astimezone(dt.UTC)
        except (ValueError, KeyError, TypeError):  # incomplete, or not a line of the archiver
            files.malformed += 1
            continue
        yield LogLine(at, {"worker": worker, **fields}, raw)


def _print_new(files: LogFiles, wanted: LogQuery, folder: Path, *, as_json: bool) -> bool:
    """Print the new lines and return whether there were any."""
    try:
        lines = collect(files, wanted)
    except OSError as error:
        _end(
            f"the log directory {folder} cannot be read: {error.strerror}; set {LOG_DIR_VARIABLE} "
            "to the directory of the workers' logs, or run this as a user who may read it"
        )
    if not files.count and files.unreadable:
        unreadable = sorted(files.unreadable.items())
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unreadable)
        _end(
            f"no log file in {folder} is readable ({reasons}); run this as a user who may read them"
        )
    for line in lines:
        if as_json:
            typer.echo(line.raw, nl=False)
            continue
        error_text = str(line.fields.get("exception", "")).strip()
        fields = line.fields | ({"error": error_text.splitlines()[-1]} if error_text else {})
        typer.echo(readable(fields, known=(wanted.name,)))
    return bool(lines)


def _note(files: LogFiles, *, following: bool) -> None:
    """Print which lines and files were skipped."""
    malformed = files.malformed + (0 if following else files.unfinished)
    if malformed:
        typer.echo(f"ccarchiver: {malformed} lines skipped: incomplete or not JSON", err=True)
    for name, reason in sorted(files.unreadable.items()):
        typer.echo(f"ccarchiver: {name} skipped: {reason}", err=True)


def _log_dir() -> Path:
    """Return the log directory; the site file is only needed if the environment has none."""
    variable = os.environ.get(LOG_DIR_VARIABLE)
    if variable:
        return Path(variable)
    try:
        folder = load_settings().log_dir
    except ConfigError as error:
        _end(f"{LOG_DIR_VARIABLE} is not set, and the site file cannot be used: {error}")
    if folder is None:
        _end(
            f"neither {LOG_DIR_VARIABLE} nor LOGGING_DIR in the site file names a log directory: "
            f"the workers log to standard error only; set {LOG_DIR_VARIABLE} for them and for this "
            "command"
        )
    return folder


def _time(text: str) -> dt.datetime | None:
    """Return the time that the option ``--since`` names."""
    if not text:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return dt.datetime.now(tz=dt.UTC) - dt.timedelta(
                **{_UNITS[ago["unit"]]: int(ago["count"])}
            )
        at = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2026-11-22T08:18 (UTC), or how long ago: "
            "90s, 10m, 2h, 1d",
            param_hint="--since",
        ) from None
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at


def _end(text: str) -> NoReturn:
    typer.echo(f"ccarchiver: {text}", err=True)
    raise typer.Exit(EXIT_CONFIG)
