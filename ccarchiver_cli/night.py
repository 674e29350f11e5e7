"""``ccarchiver night``: the report of an observing night, and sending again what is unfinished of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_cli import retry
from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.dates import NIGHT_HELP, read_day
from ccarchiver_cli.output import EXIT_WRONG, console, duration, print_json, say, utc, wrapped
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.status.images import observing_day
from ccarchiver_core.status.night import NO_CODE, NightSummary, read_night

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

LABEL, COUNT = 18, 7
"""Columns of what is counted and of the count."""

NAMED = 5
"""Images named of each kind: ``--json`` and ``ccarchiver images`` have all."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("night")(show)


def show(
    day: Annotated[str, typer.Argument(metavar="DATE", help=NIGHT_HELP)] = "today",
    *,
    replay: Annotated[bool, typer.Option("--replay", help="Send the unfinished images' orders again.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="With --replay: try failed images again as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Report a night: what was seen on SAL and what became of it; exit code 1 if anything is missing."""
    date = read_day(day)
    report = query_redis(lambda redis, settings: read_night(redis, date, settings.files_per_image))
    if replay:
        _replay(report, failed=failed, as_json=as_json)
        return
    if failed:
        raise typer.BadParameter("--failed says what --replay does; give both")
    if as_json:
        print_json({"well": report.is_complete, **report.model_dump(mode="json")})
    else:
        _print(report)
    if not report.is_complete:
        raise typer.Exit(EXIT_WRONG)


def _replay(report: NightSummary, *, failed: bool, as_json: bool) -> None:
    """Send again what is unfinished; exit code 1 if there is an image nothing could be done for."""
    names = [*report.unfinished, *(name for names in report.failed.values() for name in names)]

    async def question(redis: Redis, settings: Settings) -> list[retry.Result]:
        return await retry.replay(redis, settings, names, failed=failed)

    results = query_redis(question)
    if as_json:
        print_json([result.model_dump() for result in results])
    else:
        for result in results:
            say(f"{result.image}: {result.text}")
        done = sum(result.done for result in results)
        say(f"{done} of {len(results)} unfinished images of {report.day} sent again")
    if not all(result.done for result in results):
        raise typer.Exit(EXIT_WRONG)


def _print(report: NightSummary) -> None:
    out = console()
    is_over = time.time() > report.end
    until = "" if is_over else ", not over yet" if report.day == observing_day(time.time()) else ", not begun yet"
    out.print(f"night {report.day}: {utc(report.begin)} to {utc(report.end)} UTC{until}", style="bold")
    for label, count, text in (*_images(report), *_files(report), *_times(report)):
        first, *more = wrapped(text, out.width - LABEL - COUNT - 2) or [""]
        out.print(f"{label:<{LABEL}}{count:>{COUNT}}  {first}".rstrip(), soft_wrap=True)
        for line in more:
            out.print(f"{'':<{LABEL + COUNT}}  {line}", soft_wrap=True)
    verdict = "complete: nothing is missing" if report.is_complete else "NOT complete"
    if report.seen == 0:
        verdict = "no exposure of this night was heard of"
    hint = "; ccarchiver night --replay" if report.unfinished else ""
    out.print(f"{verdict}{hint}", style="green" if report.is_complete else "bold red")


Row = tuple[str, int | str, str]


def _images(report: NightSummary) -> Iterator[Row]:
    yield "images seen", report.seen, ""
    yield "complete", report.complete, ""
    yield "unfinished", len(report.unfinished), _named(report.unfinished)
    if report.stalled:
        yield "  stalled", len(report.stalled), _named(report.stalled)
    yield "failed", sum(map(len, report.failed.values())), ""
    for code, names in report.failed.items():
        yield f"  {code or 'no code'}", len(names), f"{_meaning(code)}: {_named(names)}"
    yield "skipped", len(report.skipped), _named(report.skipped)
    if report.unannounced:
        yield "unannounced", len(report.unannounced), _named(report.unannounced)
    missing = sum(gap.count for gap in report.gaps)
    yield "never heard of", missing, _named([_span(gap.first, gap.last) for gap in report.gaps])


def _files(report: NightSummary) -> Iterator[Row]:
    yield "files expected", report.files_expected, "of the accepted images"
    for label, count in (("retrieved", report.files_retrieved), ("ingested", report.files_ingested)):
        missing = report.files_expected - count
        yield f"  {label}", count, f"{missing} missing" if missing > 0 else ""


def _times(report: NightSummary) -> Iterator[Row]:
    """Tell how long the complete images took, from their last event on."""
    label = "time to the end"
    for percent, seconds in report.percentiles_s.items():
        yield label, f"{percent} %", f"within {duration(seconds)}"
        label = ""
    label = "slowest"
    for slow in report.slowest:
        yield label, "", f"{slow.obsid}  {duration(slow.took_s)}"
        label = ""


def _named(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _meaning(code: int) -> str:
    if code == NO_CODE:
        return "abandoned by age"
    try:
        return ErrorCode(code).meaning
    except ValueError:
        return "unknown code"
