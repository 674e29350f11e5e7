"""``ccarchiver image``: one exposure's way, step by step and CCD by CCD, and a second try for a failed one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from ccarchiver_cli import retry
from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.output import (
    EXIT_WRONG,
    ago,
    console,
    duration,
    fail,
    print_json,
    rough,
    say,
    table,
    time_of_day,
    utc,
)
from ccarchiver_core.status.ccds import Ccd, CcdState, ccds_of
from ccarchiver_core.status.images import find_names
from ccarchiver_core.status.timeline import TimelineEntry, last_progress_at, timeline
from ccarchiver_core.store import ledger
from ccarchiver_core.store.ledger import ImageState

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from rich.console import Console
    from rich.text import Text

    from ccarchiver_core.config.settings import Settings

MATCHES = 6
"""Images looked for: the one that is shown and some others that are named."""

STYLES = {ImageState.FAILED: "bold red", ImageState.STALLED: "yellow", ImageState.COMPLETE: "green"}

ENDED = (ImageState.COMPLETE, ImageState.FAILED, ImageState.SKIPPED, ImageState.UNANNOUNCED)
NOT_WELL = (ImageState.FAILED, ImageState.STALLED, ImageState.SKIPPED)


class ImageDetails(BaseModel):
    """All that is known of one image."""

    image: str
    job: int
    session: str
    state: ImageState
    heard_at: float
    """First heard of: Unix time, UTC, seconds; so are the other times."""
    finished_at: float | None
    waiting_on: str
    last_progress_at: float | None
    """Since when somebody owes the next step; None at its end."""
    failed: str
    failed_code: int
    remedy: str
    """What to do about it; empty if there is nothing to do."""
    target_dir: str
    timeline: list[TimelineEntry]
    ccds: list[Ccd]
    others: list[str]
    """Other images that the name given fits as well, newest first."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("image")(show)


def show(
    name: Annotated[str, typer.Argument(help="Its name, how that begins, or its last number: CC_O_20261122_000001, 1")],
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Give a failed image another try.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show an image's way, step by step and CCD by CCD; exit code 1 if it is failed, stalled, skipped or not there."""
    if retry:
        _retry(name, as_json=as_json)
        return
    details = query_redis(lambda redis, settings: read_details(redis, settings, name))
    if details is None:
        raise fail(f"no image {name} in the ledger; ccarchiver images lists the newest")
    if as_json:
        print_json(details.model_dump(mode="json"))
    else:
        _print(details)
    if details.state in NOT_WELL:
        raise typer.Exit(EXIT_WRONG)


def _retry(name: str, *, as_json: bool) -> None:
    """Try one image again; a name that fits several is too vague to change anything by."""

    async def question(redis: Redis, _settings: Settings) -> tuple[list[str], retry.Result | None]:
        names = await find_names(redis, name, MATCHES)
        return names, await retry.retry(redis, names[0]) if len(names) == 1 else None

    names, result = query_redis(question)
    if result is None:
        why = f"fits {', '.join(names)}: give the whole name" if names else "is not in the ledger"
        raise fail(f"{name}: {why}")
    if as_json:
        print_json(result.model_dump())
    else:
        say(f"{result.image}: {result.text}")
    if not result.done:
        raise typer.Exit(EXIT_WRONG)


async def read_details(redis: Redis, settings: Settings, wanted: str) -> ImageDetails | None:
    """Find an image and tell all that is known of it; None if there is none."""
    names = await find_names(redis, wanted, MATCHES)
    if not names:
        return None
    record = await ledger.read_record(redis, names[0])
    if "state" not in record:
        return None  # let go meanwhile
    state = ImageState(record["state"])
    return ImageDetails(
        image=names[0],
        job=int(record.get("job", "0")),
        session=record.get("session", ""),
        state=state,
        heard_at=float(record.get("at", "0")),
        finished_at=float(record["finished"]) if "finished" in record else None,
        waiting_on=ledger.waiting_on(record, settings.files_per_image),
        last_progress_at=None if state in ENDED else last_progress_at(record),
        failed=record.get("failed", ""),
        failed_code=int(record.get("failed_code", "0")),
        remedy=_what_to_do(names[0], record, state),
        target_dir=record.get("target_dir", ""),
        timeline=timeline(record, settings),
        ccds=ccds_of(record, settings),
        others=names[1:],
    )


def _what_to_do(obsid: str, record: dict[str, str], state: ImageState) -> str:
    match state:
        case ImageState.FAILED:
            code = int(record.get("failed_code", "0"))
            runbook = f" (runbook: {code})" if code else ""
            return f"mend the cause{runbook}, then ccarchiver image {obsid} --retry"
        case ImageState.STALLED:
            return "see to who owes it; then, if it does not go on by itself, ccarchiver night --replay"
        case ImageState.SKIPPED:
            return "nothing: the CSC was not ENABLED, so nobody asked for it to be archived"
        case ImageState.UNANNOUNCED:
            return "nothing: only statuses of it came, another archiver took it"
        case ImageState.ACCEPTED | ImageState.COMPLETE:
            return ""


def _print(details: ImageDetails) -> None:
    out, now = console(), time.time()
    facts: list[tuple[str, str, str]] = [
        ("image", f"{details.image}, job {details.job}", "bold"),
        ("state", details.state, STYLES.get(details.state, "")),
    ]
    if details.last_progress_at is not None:
        facts.append(("waits for", f"{details.waiting_on}, since {rough(now - details.last_progress_at)}", ""))
    if details.failed:
        code = f"{details.failed_code}: " if details.failed_code else ""
        facts.append(("failed", f"{code}{details.failed}", "red"))
    if details.remedy:
        facts.append(("do", details.remedy, ""))
    facts.append(("heard of", f"{utc(details.heard_at)} UTC, {ago(details.heard_at, now)}", ""))
    if details.session:
        facts.append(("session", details.session, ""))
    if details.target_dir:
        facts.append(("directory", details.target_dir, ""))
    if details.others:
        facts.append(("also fits", ", ".join(details.others), ""))
    made = table("", "")
    made.show_header = False
    for label, text, style in facts:
        made.add_row(label, _styled(text, style))
    out.print(made)
    _print_timeline(out, details)
    _print_ccds(out, details)


def _styled(text: str, style: str) -> Text:
    from rich.text import Text  # noqa: PLC0415  see `ccarchiver_cli.output.console`

    return Text(text, style)


def _print_timeline(out: Console, details: ImageDetails) -> None:
    made = table("time (UTC)", "took", "worker", "step", right=("took",))
    for moment in details.timeline:
        took = "" if moment.took_s is None else duration(moment.took_s)
        detail = _shortened(moment.detail, details.session)  # most ACK_IDs begin with it
        is_news = detail and detail != details.target_dir
        transaction = f"{moment.what}: {detail}" if is_news else moment.what
        made.add_row(time_of_day(moment.at), took, moment.worker or "", transaction)
    out.print()
    out.print(made)


def _shortened(text: str, known: str) -> str:
    """Leave out how a text begins, if that is known from elsewhere on the screen."""
    return f"…{text.removeprefix(known)}" if known and text.startswith(known) else text


def _print_ccds(out: Console, details: ImageDetails) -> None:
    made = table("raft", "CCD", "state", "retrieved", "ingested", "file")
    for ccd in details.ccds:
        failed = f"{ccd.code} {ccd.description}" if ccd.state is CcdState.FAILED else ""
        made.add_row(
            *(ccd.raft, ccd.sensor, _styled(ccd.state, "red" if failed else "")),
            *("" if at is None else time_of_day(at) for at in (ccd.retrieved_at, ccd.ingested_at)),
            failed or _shortened(ccd.filename, details.image),
        )
    out.print()
    out.print(made)
