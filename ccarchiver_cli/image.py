"""``ccarchiver image``: one exposure's way, step by step and CCD by CCD, and a second try for a failed one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from ccarchiver_cli import again
from ccarchiver_cli.connection import ask
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
from ccarchiver_core import ledger
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.view.ccds import Ccd, CcdState, ccds_of
from ccarchiver_core.view.images import find_names
from ccarchiver_core.view.timeline import Moment, last_step_at, timeline

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from rich.console import Console
    from rich.text import Text

    from ccarchiver_core.settings import Settings

MATCHES = 6
"""Images looked for: the one that is shown and some others that are named."""

STYLES = {ImageState.FAILED: "bold red", ImageState.STALLED: "yellow", ImageState.COMPLETE: "green"}

ENDED = (ImageState.COMPLETE, ImageState.FAILED, ImageState.SKIPPED, ImageState.FOREIGN)
NOT_WELL = (ImageState.FAILED, ImageState.STALLED, ImageState.SKIPPED)


class Story(BaseModel):
    """All that is known of one image."""

    image: str
    job: int
    session: str
    state: ImageState
    heard_at: float
    """First heard of: Unix time, UTC, seconds; so are the other times."""
    finished_at: float | None
    waits_for: str
    owed_since: float | None
    """Since when somebody owes the next step; None at its end."""
    failed: str
    failed_code: int
    do: str
    """What to do about it; empty if there is nothing to do."""
    target_dir: str
    timeline: list[Moment]
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
    story = ask(lambda redis, settings: tell(redis, settings, name))
    if story is None:
        raise fail(f"no image {name} in the ledger; ccarchiver images lists the newest")
    if as_json:
        print_json(story.model_dump(mode="json"))
    else:
        _print(story)
    if story.state in NOT_WELL:
        raise typer.Exit(EXIT_WRONG)


def _retry(name: str, *, as_json: bool) -> None:
    """Try one image again; a name that fits several is too vague to change anything by."""

    async def question(redis: Redis, _settings: Settings) -> tuple[list[str], again.Result | None]:
        names = await find_names(redis, name, MATCHES)
        return names, await again.retry(redis, names[0]) if len(names) == 1 else None

    names, result = ask(question)
    if result is None:
        why = f"fits {', '.join(names)}: give the whole name" if names else "is not in the ledger"
        raise fail(f"{name}: {why}")
    if as_json:
        print_json(result.model_dump())
    else:
        say(f"{result.image}: {result.text}")
    if not result.done:
        raise typer.Exit(EXIT_WRONG)


async def tell(redis: Redis, settings: Settings, wanted: str) -> Story | None:
    """Find an image and tell all that is known of it; None if there is none."""
    names = await find_names(redis, wanted, MATCHES)
    if not names:
        return None
    record = await ledger.read_record(redis, names[0])
    if "state" not in record:
        return None  # let go meanwhile
    state = ImageState(record["state"])
    return Story(
        image=names[0],
        job=int(record.get("job", "0")),
        session=record.get("session", ""),
        state=state,
        heard_at=float(record.get("at", "0")),
        finished_at=float(record["finished"]) if "finished" in record else None,
        waits_for=ledger.waits_for(record, settings.files_per_image),
        owed_since=None if state in ENDED else last_step_at(record),
        failed=record.get("failed", ""),
        failed_code=int(record.get("failed_code", "0")),
        do=_what_to_do(names[0], record, state),
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
        case ImageState.FOREIGN:
            return "nothing: only statuses of it came, another archiver took it"
        case ImageState.ACCEPTED | ImageState.COMPLETE:
            return ""


def _print(story: Story) -> None:
    out, now = console(), time.time()
    facts: list[tuple[str, str, str]] = [
        ("image", f"{story.image}, job {story.job}", "bold"),
        ("state", story.state, STYLES.get(story.state, "")),
    ]
    if story.owed_since is not None:
        facts.append(("waits for", f"{story.waits_for}, since {rough(now - story.owed_since)}", ""))
    if story.failed:
        code = f"{story.failed_code}: " if story.failed_code else ""
        facts.append(("failed", f"{code}{story.failed}", "red"))
    if story.do:
        facts.append(("do", story.do, ""))
    facts.append(("heard of", f"{utc(story.heard_at)} UTC, {ago(story.heard_at, now)}", ""))
    if story.session:
        facts.append(("session", story.session, ""))
    if story.target_dir:
        facts.append(("directory", story.target_dir, ""))
    if story.others:
        facts.append(("also fits", ", ".join(story.others), ""))
    made = table("", "")
    made.show_header = False
    for label, text, style in facts:
        made.add_row(label, _styled(text, style))
    out.print(made)
    _print_timeline(out, story)
    _print_ccds(out, story)


def _styled(text: str, style: str) -> Text:
    from rich.text import Text  # noqa: PLC0415  see `ccarchiver_cli.output.console`

    return Text(text, style)


def _print_timeline(out: Console, story: Story) -> None:
    made = table("time (UTC)", "took", "worker", "step", right=("took",))
    for moment in story.timeline:
        took = "" if moment.took_s is None else duration(moment.took_s)
        detail = _shortened(moment.detail, story.session)  # most ACK_IDs begin with it
        is_news = detail and detail != story.target_dir
        step = f"{moment.what}: {detail}" if is_news else moment.what
        made.add_row(time_of_day(moment.at), took, moment.worker or "", step)
    out.print()
    out.print(made)


def _shortened(text: str, known: str) -> str:
    """Leave out how a text begins, if that is known from elsewhere on the screen."""
    return f"…{text.removeprefix(known)}" if known and text.startswith(known) else text


def _print_ccds(out: Console, story: Story) -> None:
    made = table("raft", "CCD", "state", "retrieved", "ingested", "file")
    for ccd in story.ccds:
        failed = f"{ccd.code} {ccd.description}" if ccd.state is CcdState.FAILED else ""
        made.add_row(
            *(ccd.raft, ccd.sensor, _styled(ccd.state, "red" if failed else "")),
            *("" if at is None else time_of_day(at) for at in (ccd.retrieved_at, ccd.ingested_at)),
            failed or _shortened(ccd.filename, story.image),
        )
    out.print()
    out.print(made)
