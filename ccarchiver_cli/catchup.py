"""``ccarchiver catchup``: the exposures that the archiver missed, and their archiving."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_cli import missed_actions
from ccarchiver_cli.catchup_wait import wait_until_archived
from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.dates import read_day
from ccarchiver_cli.missed_list import print_missed
from ccarchiver_cli.options import AsJson, require_text
from ccarchiver_cli.output import EXIT_WRONG, fail, print_json, say
from ccarchiver_cli.scanning import scan_now
from ccarchiver_cli.wait_display import WaitDisplay
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.base.exit_codes import EXIT_INTERRUPTED
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.status.images import bounds_of
from ccarchiver_core.status.live_exposures import exposures_in_progress
from ccarchiver_core.status.missed import can_be_archived, read_missed

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from ccarchiver_cli.retry import Result
    from ccarchiver_core.config.settings import Settings

NAMED = 3
"""Exposures in progress that are named; usually there is one."""

MAX_REASON = 500
"""Longest reason of a dismissal in characters: some sentences."""

WORDS_HELP = (
    "Observing day: 2026-11-22, 20261122, today or yesterday; it begins at 12:00 UTC of that date. "
    "Then names of missed images, which are archived: CC_O_20261122_000001."
)

_DATE = re.compile(r"[\d-]+|today|yesterday", re.ASCII)
"""What an operator means as a date; the name of an image begins with letters."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("catchup")(show)


def show(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[DATE] [NAME]...", help=WORDS_HELP)
    ] = None,
    *,
    now: Annotated[
        bool,
        typer.Option(
            "--now",
            help="First ask the paired Forwarder which images the camera took, and wait for the "
            "answer. While an exposure is in progress, this is postponed.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List only those that CATCH_UP: automatic archives, in its sequence. "
            "With names: only check them. Nothing is archived.",
        ),
    ] = False,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait until the images are archived, and show the progress. "
            "The default with names. Ctrl-C ends only the wait.",
        ),
    ] = None,
    dismiss: Annotated[
        bool,
        typer.Option(
            "--dismiss",
            help="Decide that the named images will not be archived. They no longer count as "
            "missing. --reason is required. Naming one again without --dismiss ends this.",
        ),
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="With --dismiss: why; the ledger keeps it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the exposures that the camera took and the archiver did not accept, or archive some.

    Without names: exit code 1 if there are any, or if --now got no answer. Without DATE, all of
    them are listed.

    With names, only these images are archived, with CATCH_UP: report too; with --now, after the
    answer. If one of the names is
    unknown, not missed or malformed, none is. Exit code 1 if an image is not archived.

    With --dismiss, the named images no longer count as missing.
    """
    day, names = _split(words or [])
    for name in names:
        require_text(name, "NAME", "ccarchiver catchup lists the missed images")
    if wait and dry_run:
        raise typer.BadParameter("--dry-run archives nothing, so --wait has nothing to wait for")
    if wait is False and not names:
        raise typer.BadParameter("--no-wait needs the names of images to archive")
    if dismiss or reason is not None:
        if now or wait:
            raise typer.BadParameter("--dismiss cannot be combined with --now or --wait")
        reason = _checked(reason, names, dismiss=dismiss)
        _dismiss(day, names, reason, dry_run=dry_run, as_json=as_json)
        return
    problem = _scan() if now else ""
    if names:
        if problem:
            raise fail(problem)
        _archive(day, names, dry_run=dry_run, wait=wait is not False, as_json=as_json)
        return
    if wait:
        if problem:
            raise fail(problem)
        _wait_for_all(day, as_json=as_json)
        return
    _list(day, dry_run=dry_run, as_json=as_json, problem=problem)


def _split(words: Sequence[str]) -> tuple[dt.date | None, list[str]]:
    """Return the observing day, if the first word is one, and the names of images."""
    if words and _DATE.fullmatch(words[0]) is not None:
        return read_day(words[0]), list(words[1:])
    return None, list(words)


def _checked(reason: str | None, names: Sequence[str], *, dismiss: bool) -> str:
    """Return the reason of a dismissal.

    Raises
    ------
    typer.BadParameter
        If the option --dismiss, a name or the reason is missing, or the reason is too long.
    """
    if not dismiss:
        raise typer.BadParameter("--reason is only valid together with --dismiss")
    if not names:
        raise typer.BadParameter(
            "--dismiss needs the names of images; ccarchiver catchup lists them"
        )
    text = reason or ""
    require_text(text, "--reason", "write why the images will not be archived")
    if len(text) > MAX_REASON:
        raise typer.BadParameter(f"--reason has {len(text)} characters, more than {MAX_REASON}")
    return text


def _bounds(day: dt.date | None) -> tuple[float, float]:
    return (0.0, math.inf) if day is None else bounds_of(day)


def _list(day: dt.date | None, *, dry_run: bool, as_json: bool, problem: str) -> None:
    begin, end = _bounds(day)
    missed = query_redis(lambda redis, settings: read_missed(redis, settings, begin, end))
    if dry_run:
        at = time.time()
        missed.images = [image for image in missed.images if can_be_archived(image, at)]
    if as_json:
        print_json({"well": not missed.images, **missed.model_dump(mode="json")})
    else:
        print_missed(missed, day, is_preview=dry_run)
    if problem:
        raise fail(problem)
    if missed.images:
        raise typer.Exit(EXIT_WRONG)


def _archive(
    day: dt.date | None, names: list[str], *, dry_run: bool, wait: bool, as_json: bool
) -> None:
    """Request the archiving of the named images, and wait for it."""
    period = _bounds(day)
    results = query_redis(
        lambda redis, settings: missed_actions.request(
            redis, settings, names, period, dry_run=dry_run
        )
    )
    if dry_run or not wait or not all(result.done for result in results):
        _end(results, as_json=as_json)
        return
    _wait([result.image for result in results], as_json=as_json)


def _dismiss(
    day: dt.date | None, names: list[str], reason: str, *, dry_run: bool, as_json: bool
) -> None:
    """Dismiss the named images."""
    period = _bounds(day)
    results = query_redis(
        lambda redis, _settings: missed_actions.dismiss(
            redis, names, period, reason, dry_run=dry_run
        )
    )
    _end(results, as_json=as_json)


def _wait_for_all(day: dt.date | None, *, as_json: bool) -> None:
    """Wait until all images are archived that CATCH_UP: automatic archives."""
    begin, end = _bounds(day)
    missed = query_redis(lambda redis, settings: read_missed(redis, settings, begin, end))
    if missed.catch_up is not CatchUp.AUTOMATIC:
        raise fail(
            f"CATCH_UP is {missed.catch_up}, so no image is archived unless it is named; "
            "ccarchiver catchup NAME"
        )
    now = time.time()
    _wait([image.obsid for image in missed.images if can_be_archived(image, now)], as_json=as_json)


def _wait(names: list[str], *, as_json: bool) -> None:
    async def question(redis: Redis, settings: Settings) -> list[Result]:
        return await wait_until_archived(redis, settings, names, display.show)

    try:
        with WaitDisplay(len(names), is_silent=as_json) as display:
            results = query_redis(question)
    except KeyboardInterrupt:
        raise fail(
            "the wait has ended, and the request stays: the images are archived without another "
            "command; ccarchiver catchup lists those whose archiving has not begun, and "
            "ccarchiver image NAME shows one",
            EXIT_INTERRUPTED,
        ) from None
    if not as_json:
        done = sum(result.done for result in results)
        results = [result for result in results if not result.done]
        say(f"{done} of {len(names)} images are archived")
    _end(results, as_json=as_json)


def _end(results: list[Result], *, as_json: bool) -> None:
    """Print the result of each image; exit with 1 if one has failed."""
    if as_json:
        print_json([result.model_dump() for result in results])
    else:
        for result in results:
            say(f"{result.image}: {result.text}")
    if not all(result.done for result in results):
        raise typer.Exit(EXIT_WRONG)


def _scan() -> str:
    """Request a scan and wait for its end; return why it has not succeeded, empty if it has."""
    try:
        scan = query_redis(scan_now)
    except RejectedError as error:
        raise fail(str(error)) from None
    if scan is None:
        return _postponed(
            query_redis(
                lambda redis, settings: exposures_in_progress(redis, settings.files_per_image)
            )
        )
    if not scan.is_answered:
        return (
            f"Forwarder {scan.hostname} did not answer SCAN (SCAN_TIMEOUT); one that finds no "
            "image at all sends no answer, otherwise read its log"
        )
    return ""


def _postponed(in_progress: list[str]) -> str:
    """Return why a scan has not taken place yet."""
    if not in_progress:
        return "the scan has not ended yet; ccarchiver catchup prints its state"
    named = ", ".join(in_progress[:NAMED])
    more = len(in_progress) - NAMED
    others = f" and {more} more" if more > 0 else ""
    return (
        f"no scan yet: an exposure is in progress ({named}{others}); "
        "the scan follows as soon as none is"
    )
