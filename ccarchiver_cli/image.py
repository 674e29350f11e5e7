"""``ccarchiver image``: show one exposure, stage by stage and CCD by CCD; retry a failed one."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from ccarchiver_cli import retry
from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.options import AsJson, require_text
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
from ccarchiver_core.domain.image_record import ImageState, MissedBy
from ccarchiver_core.domain.refused_exposure import RefusedExposure
from ccarchiver_core.status.ccds import Ccd, CcdState, ccds_of
from ccarchiver_core.status.images import find_names, observing_day
from ccarchiver_core.status.missed import KEPT_BY_DAQ_S
from ccarchiver_core.status.timeline import TimelineEntry, timeline
from ccarchiver_core.status.unscanned import read_unscanned
from ccarchiver_core.store.image_ledger import ImageLedger

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from rich.console import Console
    from rich.text import Text

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_record import ImageRecord

MATCHES = 6
"""Images searched for: the one that is shown, and others that are named."""

STYLES = {
    ImageState.FAILED: "bold red",
    ImageState.UNREADABLE: "bold red",
    ImageState.STALLED: "yellow",
    ImageState.COMPLETE: "green",
}

NOT_WELL = (
    ImageState.FAILED,
    ImageState.STALLED,
    ImageState.SKIPPED,
    ImageState.MISSED,
    ImageState.UNREADABLE,
)

FIXED_REMEDIES = {
    ImageState.SKIPPED: ("nothing: the CSC was not ENABLED, and no scan has listed the image"),
    ImageState.DISMISSED: "nothing: an operator has dismissed it, so it is not to be archived",
    ImageState.UNANNOUNCED: (
        "nothing: only file statuses were received; another archiver accepted the image"
    ),
}
"""Remedies that do not depend on the image, by its state."""


ASK_WHETHER_KEPT = (
    "ccarchiver catchup --now asks the Forwarder whether the camera has the image; "
    "if it has, ccarchiver catchup NAME archives it"
)
"""Remedy for a skipped image that the next scan may list."""


ROUNDING_S = 0.01
"""Difference between the time in a record and in the index of images, which may be rounded."""


class ImageDetails(BaseModel):
    """Everything that the ledger contains about one image."""

    image: str
    job: int
    session: str
    state: ImageState
    first_seen_at: float
    """Time of its first event or status: Unix time, UTC, seconds, like the other times."""
    finished_at: float | None
    waiting_on: str
    last_progress_at: float | None
    """Time from which the next stage is due; None for an image that is not open."""
    failed: str
    failed_code: int
    remedy: str
    """What to do; empty if there is nothing to do."""
    target_dir: str
    timeline: list[TimelineEntry]
    refused: list[RefusedExposure]
    """Later exposures of the same name, which are not archived, oldest first."""
    ccds: list[Ccd]
    others: list[str]
    """Other images that match the given name, newest first."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("image")(show)


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the image, beginning of the name, or number: CC_O_20261122_000001 or 1.",
        ),
    ],
    *,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry",
            help="Start this failed image again from its first instruction. "
            "The Controller assigns a target directory again.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one image, stage by stage and CCD by CCD.

    Exit code 1 if it is failed, stalled, skipped or not in the ledger, or if a later exposure of
    the same name was refused.

    image NAME --retry starts one failed image again from its first instruction.
    night --replay continues all unfinished images of a night where they are.
    """
    require_text(
        name, "NAME", "type the name or the number of an image; ccarchiver images lists the newest"
    )
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
    if details.state in NOT_WELL or details.refused:
        raise typer.Exit(EXIT_WRONG)


def _retry(name: str, *, as_json: bool) -> None:
    """Retry one image. A name that matches several images is rejected."""

    async def question(redis: Redis, _settings: Settings) -> tuple[list[str], retry.Result | None]:
        names = await find_names(redis, name, MATCHES)
        return names, await retry.retry(redis, names[0]) if len(names) == 1 else None

    names, result = query_redis(question)
    if result is None:
        reason = "is not in the ledger"
        if names:
            reason = f"matches {', '.join(names)}: give the whole name"
        raise fail(f"{name}: {reason}")
    if as_json:
        print_json(result.model_dump())
    else:
        say(f"{result.image}: {result.text}")
    if not result.done:
        raise typer.Exit(EXIT_WRONG)


async def read_details(redis: Redis, settings: Settings, wanted: str) -> ImageDetails | None:
    """Return the details of the image that matches a name best; None if no image matches."""
    names = await find_names(redis, wanted, MATCHES)
    record = await ImageLedger(redis).read(names[0]) if names else None
    if record is None:
        return None
    at = record.first_seen_at
    is_unscanned = record.state is ImageState.SKIPPED and record.obsid in await read_unscanned(
        redis, settings, at - ROUNDING_S, at + ROUNDING_S
    )
    return ImageDetails(
        image=names[0],
        job=record.job,
        session=record.session_id,
        state=record.state,
        first_seen_at=record.first_seen_at,
        finished_at=record.finished_at or None,
        waiting_on=record.waiting_on(settings.files_per_image),
        last_progress_at=record.last_progress_at if record.is_open else None,
        failed=record.failure_reason,
        failed_code=record.failure_code,
        remedy=_remedy(record, is_unscanned=is_unscanned),
        target_dir=record.target_dir,
        timeline=timeline(record, settings),
        refused=[refused for refused in record.refused if not refused.is_skipped],
        ccds=ccds_of(record, settings),
        others=names[1:],
    )


def _remedy(record: ImageRecord, *, is_unscanned: bool) -> str:
    remedies = [ASK_WHETHER_KEPT if is_unscanned else _remedy_of_state(record)]
    if any(not refused.is_skipped for refused in record.refused):
        remedies.append("correct the camera's numbering; ccarchiver deadletter list")
    return "; ".join(remedy for remedy in remedies if remedy)


def _remedy_of_state(record: ImageRecord) -> str:
    match record.state:
        case ImageState.FAILED:
            runbook = f" (runbook: {record.failure_code})" if record.failure_code else ""
            return f"correct the cause{runbook}, then ccarchiver image {record.obsid} --retry"
        case ImageState.STALLED:
            night = observing_day(record.first_seen_at)
            return (
                "check the peer that it waits for; "
                f"if it does not continue by itself: ccarchiver night {night} --replay"
            )
        case ImageState.UNREADABLE:
            fields = ", ".join(record.unreadable)
            return f"its record cannot be read ({fields}): ccarchiver doctor names the reason"
        case ImageState.MISSED:
            return _remedy_of_missed(record)
        case state:
            return FIXED_REMEDIES.get(state, "")


def _remedy_of_missed(record: ImageRecord) -> str:
    name = shlex.quote(record.obsid)
    if record.first_seen_at < time.time() - KEPT_BY_DAQ_S:
        return (
            "the camera may not have it now; if it is lost: "
            f"ccarchiver catchup {name} --dismiss --reason TEXT"
        )
    if record.missed_by != MissedBy.SCAN:
        return (
            "no scan has listed it, so it may be no exposure: ccarchiver catchup --now asks the "
            f"Forwarder; ccarchiver catchup {name} archives it all the same"
        )
    return (
        f"ccarchiver catchup {name} archives it; "
        "with CATCH_UP: automatic it is archived without a command"
    )


def _print(details: ImageDetails) -> None:
    out, now = console(), time.time()
    facts: list[tuple[str, str, str]] = [
        ("image", f"{details.image}, job {details.job}", "bold"),
        ("state", details.state, STYLES.get(details.state, "")),
    ]
    if details.last_progress_at is not None:
        age = rough(now - details.last_progress_at)
        facts.append(("waits for", f"{details.waiting_on}, since {age}", ""))
    if details.failed:
        code = f"{details.failed_code}: " if details.failed_code else ""
        facts.append(("failed", f"{code}{details.failed}", "red"))
    for refused in details.refused:
        text = (
            f"another exposure of this name, at {utc(refused.refused_at)} UTC, is not archived: "
            f"{refused.reason}"
        )
        facts.append(("refused", text, "bold red"))
    if details.remedy:
        facts.append(("remedy", details.remedy, ""))
    first_seen = f"{utc(details.first_seen_at)} UTC, {ago(details.first_seen_at, now)}"
    facts.append(("first seen", first_seen, ""))
    if details.session:
        facts.append(("session", details.session, ""))
    if details.target_dir:
        facts.append(("directory", details.target_dir, ""))
    if details.others:
        facts.append(("also found", ", ".join(details.others), ""))
    rows = table("", "")
    rows.show_header = False
    for label, text, style in facts:
        rows.add_row(label, _styled(text, style))
    out.print(rows)
    _print_timeline(out, details)
    _print_ccds(out, details)


def _styled(text: str, style: str) -> Text:
    from rich.text import Text  # noqa: PLC0415  see `ccarchiver_cli.output.console`

    return Text(text, style)


def _print_timeline(out: Console, details: ImageDetails) -> None:
    rows = table("time (UTC)", "took", "worker", "stage", right=("took",))
    for entry in details.timeline:
        took = "" if entry.took_s is None else duration(entry.took_s)
        detail = _shortened(entry.detail, details.session)  # most ACK_IDs begin with it
        has_detail = detail and detail != details.target_dir
        stage = f"{entry.what}: {detail}" if has_detail else entry.what
        rows.add_row(time_of_day(entry.at), took, entry.worker or "", stage)
    out.print()
    out.print(rows)


def _shortened(text: str, known: str) -> str:
    """Return a text without its beginning if that is shown elsewhere on the screen."""
    return f"…{text.removeprefix(known)}" if known and text.startswith(known) else text


def _print_ccds(out: Console, details: ImageDetails) -> None:
    rows = table("raft", "CCD", "state", "retrieved", "ingested", "file")
    for ccd in details.ccds:
        failed = f"{ccd.code} {ccd.description}" if ccd.state is CcdState.FAILED else ""
        rows.add_row(
            *(ccd.raft, ccd.sensor, _styled(ccd.state, "red" if failed else "")),
            *("" if at is None else time_of_day(at) for at in (ccd.retrieved_at, ccd.ingested_at)),
            failed or _shortened(ccd.filename, details.image),
        )
    out.print()
    out.print(rows)
