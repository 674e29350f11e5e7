"""``ccarchiver night``: the summary of an observing night, and the replay of its images."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_cli import retry
from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.dates import NIGHT_HELP, read_day
from ccarchiver_cli.options import AsJson  # noqa: TC001  typer reads the annotation
from ccarchiver_cli.output import (
    EXIT_WRONG,
    console,
    duration,
    fail,
    print_json,
    say,
    utc,
    wrapped,
)
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.exit_codes import EXIT_OUTPUT
from ccarchiver_core.status.images import observing_day
from ccarchiver_core.status.night import NO_CODE, NightSummary, read_night
from ccarchiver_core.status.unscanned import read_unscanned

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

LABEL, COUNT = 18, 7
"""Widths of the label and of the count, in columns."""

NAMED = 5
"""Images that are named in each row; ``--json`` and ``ccarchiver images`` have all of them."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("night")(show)


def show(
    day: Annotated[str, typer.Argument(metavar="DATE", help=NIGHT_HELP)] = "today",
    *,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Send the instructions of the unfinished images of the night again. "
            "Each image continues where it is: ACK_IDs and target directory stay the same.",
        ),
    ] = False,
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="With --replay: also retry the failed images, as image --retry does.",
        ),
    ] = False,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print CSV, one line for each exposure."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            dir_okay=False,
            help="Write the view of the night, as on the status page, to a file of HTML that needs "
            "no other file. An existing file is overwritten.",
        ),
    ] = None,
) -> None:
    """Show the summary of an observing night. Exit code 1 if anything is missing.

    night --replay continues all unfinished images of the night where they are.
    image NAME --retry starts one failed image again from its first instruction.
    """
    date = read_day(day)
    if replay and (as_csv or html is not None):
        raise typer.BadParameter("--replay cannot be used together with --csv or --html")
    if html is not None and str(html) == "-":
        raise typer.BadParameter("--html needs the name of a file, not -")
    if as_csv and as_json:
        raise typer.BadParameter("--csv cannot be used together with --json")
    if not replay and not failed and (as_csv or as_json or html is not None):
        _export(date, html, as_csv=as_csv, as_json=as_json)
        return
    summary, unscanned = query_redis(
        lambda redis, settings: _read_night_and_unscanned(redis, settings, date)
    )
    if replay:
        _replay(summary, failed=failed, as_json=as_json)
        return
    if failed:
        raise typer.BadParameter("--failed is only valid together with --replay")
    _print(summary, unscanned)
    if not summary.is_complete:
        raise typer.Exit(EXIT_WRONG)


async def _read_night_and_unscanned(
    redis: Redis, settings: Settings, date: dt.date
) -> tuple[NightSummary, list[str]]:
    """Return the summary of a night, and its skipped images that the next scan may list."""
    summary = await read_night(redis, date, settings.files_per_image)
    return summary, await read_unscanned(redis, settings, summary.begin, summary.end)


def _export(date: dt.date, html: Path | None, *, as_csv: bool, as_json: bool) -> None:
    """Print or write the view of a night; exit with 1 if anything is missing."""
    # Imported here, because the plain summary does not need the page.
    from ccarchiver_core.status.night_view.csv_text import csv_text  # noqa: PLC0415
    from ccarchiver_core.status.night_view.page import file_frame, render  # noqa: PLC0415
    from ccarchiver_core.status.night_view.view import read_all  # noqa: PLC0415

    view = query_redis(lambda redis, settings: read_all(redis, settings, date))
    summary = view.summary
    if html is not None:
        try:
            html.write_text(render(view, file_frame()), encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            text = f"{html} cannot be written: {reason}; choose another file"
            raise fail(text, EXIT_OUTPUT) from None
        if not (as_csv or as_json):
            say(f"written: {html}")
    if as_csv:
        typer.echo(csv_text(view), nl=False)
    elif as_json:
        details = view.model_dump(
            mode="json", include={"exposures": True, "states": True, "missing": True}
        )
        print_json({"well": summary.is_complete, **summary.model_dump(mode="json"), **details})
    if not summary.is_complete:
        raise typer.Exit(EXIT_WRONG)


def _replay(summary: NightSummary, *, failed: bool, as_json: bool) -> None:
    """Replay the unfinished images; exit with 1 if an image is not replayed."""
    names = [*summary.unfinished, *(name for names in summary.failed.values() for name in names)]

    async def question(redis: Redis, settings: Settings) -> list[retry.Result]:
        return await retry.replay(redis, settings, names, failed=failed)

    results = query_redis(question)
    if as_json:
        print_json([result.model_dump() for result in results])
    else:
        for result in results:
            say(f"{result.image}: {result.text}")
        done = sum(result.done for result in results)
        say(f"{done} of {len(results)} unfinished images of {summary.day} are replayed")
    if not all(result.done for result in results):
        raise typer.Exit(EXIT_WRONG)


def _print(summary: NightSummary, unscanned: list[str]) -> None:
    out, now = console(), time.time()
    if now > summary.end:
        until = ""
    elif summary.day == observing_day(now):
        until = ", not over yet"
    else:
        until = ", not begun yet"
    period = f"{utc(summary.begin)} to {utc(summary.end)} UTC"
    out.print(f"night {summary.day}: {period}{until}", style="bold")
    for label, count, text in (*_images(summary), *_files(summary), *_times(summary)):
        first, *more = wrapped(text, out.width - LABEL - COUNT - 2) or [""]
        out.print(f"{label:<{LABEL}}{count:>{COUNT}}  {first}".rstrip(), soft_wrap=True)
        for line in more:
            out.print(f"{'':<{LABEL + COUNT}}  {line}", soft_wrap=True)
    verdict = _verdict(summary, now, has_unscanned=bool(unscanned))
    out.print(verdict, style="green" if summary.is_complete else "bold red")


def _verdict(summary: NightSummary, now: float, *, has_unscanned: bool) -> str:
    """Return the last line: whether the night is complete, and what to do.

    An image in progress continues by itself. After the end of the night none is in progress.
    """
    is_known = (
        summary.seen or summary.refused or summary.skipped or summary.missed or summary.dismissed
    )
    if not is_known:
        return "no exposure of this night is known"
    if summary.is_complete:
        return "complete: nothing is missing"
    waiting = summary.unfinished if now > summary.end else summary.stalled
    in_progress = len(summary.unfinished) - len(waiting)
    progress = f"; in progress: {in_progress}" if in_progress else ""
    hint = f"; ccarchiver night {summary.day} --replay" if waiting else ""
    missed = f"; ccarchiver catchup {summary.day}" if summary.missed or has_unscanned else ""
    if has_unscanned:
        missed += " --now"  # skipped images become missed only by a scan
    unreadable = "; ccarchiver doctor" if summary.unreadable else ""
    return f"NOT complete{progress}{hint}{missed}{unreadable}"


Row = tuple[str, int | str, str]


def _images(summary: NightSummary) -> Iterator[Row]:
    yield "images seen", summary.seen, ""
    yield "accepted", summary.accepted, ""
    yield "complete", summary.complete, ""
    yield "unfinished", len(summary.unfinished), _named(summary.unfinished)
    if summary.stalled:
        yield "  stalled", len(summary.stalled), _named(summary.stalled)
    yield "failed", sum(map(len, summary.failed.values())), ""
    for code, names in summary.failed.items():
        yield f"  {code or 'no code'}", len(names), f"{_meaning(code)}: {_named(names)}"
    yield "missed", len(summary.missed), _named(summary.missed)
    if summary.dismissed:
        yield "dismissed", len(summary.dismissed), _named(summary.dismissed)
    if summary.caught_up:
        yield "caught up", summary.caught_up, ""
    yield "skipped", len(summary.skipped), _named(summary.skipped)
    if summary.unreadable:
        yield "unreadable", len(summary.unreadable), _named(summary.unreadable)
    if summary.unannounced:
        yield "unannounced", len(summary.unannounced), _named(summary.unannounced)
    if summary.refused:
        yield "names used before", len(summary.refused), _named(summary.refused)
    missing = sum(gap.count for gap in summary.gaps)
    yield "numbers missing", missing, _named([_span(gap.first, gap.last) for gap in summary.gaps])


def _files(summary: NightSummary) -> Iterator[Row]:
    expected = summary.files_expected
    yield "files expected", expected, "of the accepted images"
    for label, count in (
        ("retrieved", summary.files_retrieved),
        ("ingested", summary.files_ingested),
    ):
        missing = expected - count
        yield f"  {label}", count, f"{missing} missing" if missing > 0 else ""


def _times(summary: NightSummary) -> Iterator[Row]:
    """Yield how long the complete images took from their last event until they were complete."""
    label = "time to complete"
    for percent, seconds in summary.percentiles_s.items():
        yield label, f"{percent} %", f"within {duration(seconds)}"
        label = ""
    label = "slowest"
    for slow in summary.slowest:
        yield label, "", f"{slow.obsid}  {duration(slow.took_s)}"
        label = ""


def _named(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _meaning(code: int) -> str:
    if code == NO_CODE:
        return "abandoned because of its age"
    try:
        return ErrorCode(code).meaning
    except ValueError:
        return "unknown code"
