"""``ccarchiver pair``: the pairing and the Forwarders that could take over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccarchiver_cli import pairing
from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.options import AsJson, Yes, require_text
from ccarchiver_cli.output import (
    EXIT_WRONG,
    ago,
    confirmed,
    console,
    fail,
    print_json,
    rough,
    say,
    table,
)
from ccarchiver_cli.pairing import PairingRejectedError
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.status.candidate_list import (
    MAX_MALFORMED,
    CandidateList,
    CandidateStatus,
    read_candidates,
)
from ccarchiver_core.status.overview import PairingView, read_pairing
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session

from ccarchiver_core.keys import Worker

pair = typer.Typer(no_args_is_help=True, help="Show or change the pairing with a Forwarder.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(pair, name="pair")


@pair.command("show")
def show(*, as_json: AsJson = False) -> None:
    """Show the pairing and the Forwarders in the sequence in which health tries them.

    Exit code 1 if a session is active but no Forwarder is paired.
    """

    async def question(redis: Redis, settings: Settings) -> tuple[PairingView, CandidateList]:
        view = await read_pairing(redis, await read_session(redis))
        return view, await read_candidates(redis, settings)

    view, candidates = query_redis(question)
    is_well = not view.is_active or bool(view.hostname)
    if as_json:
        document = {"well": is_well, "pairing": view.model_dump(mode="json")}
        print_json(document | _roster_dict(candidates))
    else:
        _print(view, candidates)
    if not is_well:
        raise typer.Exit(EXIT_WRONG)


@pair.command("release")
def release(
    *,
    yes: Yes = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Release it even if no other Forwarder seems to be available."
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the next Forwarder is paired.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Release the paired Forwarder, so that health pairs the next one.

    The unfinished images are replayed to the next Forwarder.
    """

    async def question(redis: Redis, settings: Settings) -> tuple[Session, CandidateList, bool]:
        lives = await read_heartbeat(redis, Worker.HEALTH) is not None
        return await read_session(redis), await read_candidates(redis, settings), lives

    session, candidates, health_lives = query_redis(question)
    if session.is_paired and session.forwarder is not None:
        _confirm_release(session.forwarder.hostname, candidates.likely, yes=yes, force=force)
    try:
        before = query_redis(lambda redis, _settings: pairing.release(redis))
    except PairingRejectedError as error:
        raise fail(str(error)) from None
    after = _next_paired(before) if wait and health_lives else None
    released = before.forwarder.hostname if before.forwarder else ""
    paired = after.forwarder.hostname if after and after.forwarder else None
    if as_json:
        print_json({"released": released, "health_lives": health_lives, "paired": paired})
    elif not health_lives:
        say(f"{released}: not released yet: health is down and does it when it runs again")
    else:
        say(f"{released}: released")
        if paired is not None and after is not None:
            say(f"{paired}: paired, epoch {after.epoch}; unfinished images are replayed to it")
    if wait and health_lives and paired is None:
        raise fail("no other Forwarder is paired yet; see: ccarchiver pair show, ccarchiver status")


def _confirm_release(
    hostname: str, successor: CandidateStatus | None, *, yes: bool, force: bool
) -> None:
    """Ask the operator to confirm a release.

    Raises
    ------
    typer.Exit
        If no other Forwarder seems to be available, or the operator declines.
    """
    if successor is None and not force:
        raise fail(
            "no other Forwarder that could take over is listed or known: the CSC would go to FAULT "
            f"(health does not try {hostname} in this search). Start a Forwarder, or give --force"
        )
    name = successor.hostname if successor else ""
    effect = f"health tries {name} next" if name else "no Forwarder can take over"
    if not confirmed(f"Release {hostname}? ({effect})", yes=yes):
        raise typer.Exit(EXIT_WRONG)


def _next_paired(before: Session) -> Session | None:
    return query_redis(lambda redis, settings: pairing.taken_over(redis, settings, before))


@pair.command("next")
def show_next(
    forwarder: Annotated[
        str | None,
        typer.Argument(
            metavar="FORWARDER", help="Hostname or queue of the Forwarder that health tries next."
        ),
    ] = None,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show which Forwarder health tries next, or make a named Forwarder the next."""
    if forwarder is not None:
        require_text(
            forwarder, "FORWARDER", "type a hostname or a queue that ccarchiver pair show lists"
        )
        if not confirmed(f"Try {forwarder} before all other Forwarders?", yes=yes):
            raise typer.Exit(EXIT_WRONG)
        name = forwarder
        try:
            text = query_redis(lambda redis, settings: pairing.promote(redis, settings, name))
        except PairingRejectedError as error:
            raise fail(str(error)) from None
        if not as_json:
            say(text)
            return
    candidates = query_redis(read_candidates)
    if as_json:
        print_json(_roster_dict(candidates))
    elif candidates.next is not None:
        say(_next_text(candidates.next))
        if candidates.next.stale and candidates.likely is not None:
            say(f"the first entry that is not stale: {_next_text(candidates.likely)}")
    if candidates.next is None:
        raise fail("no other Forwarder is listed or known")


def _next_text(candidate: CandidateStatus) -> str:
    where = "listed" if candidate.listed else "known"
    stale = f"; stale? {candidate.stale}" if candidate.stale else ""
    return f"{candidate.hostname} on queue {candidate.queue}, {where}{stale}"


def _roster_dict(candidates: CandidateList) -> dict[str, Any]:
    first = candidates.next
    return {"next": first.queue if first else None, **candidates.model_dump(mode="json")}


def _print(view: PairingView, candidates: CandidateList) -> None:
    out, now = console(), time.time()
    if not view.is_active:
        out.print("pairing    none: no session is active")
    elif not view.hostname:
        reason = f"; {view.loss}" if view.loss else ""
        out.print(f"pairing    {view.pairing}, epoch {view.epoch}{reason}", style="bold red")
    else:
        left = view.presence_ttl_s
        key = "is MISSING" if left is None else f"has {left:.1f} s left"
        text = f"{view.hostname} on queue {view.queue}, epoch {view.epoch}"
        out.print(f"pairing    {text}", style="bold")
        out.print(f"           for {rough(now - view.since)}; its key {view.presence_key} {key}")
        out.print(f"           session {view.session_id}")
    out.print()
    made = table("order", "Forwarder", "queue", "from", "last tried", "")
    for number, one in enumerate(candidates.candidates, start=1):
        made.add_row(
            *(str(number), one.hostname, one.queue, "list" if one.listed else "known"),
            "" if one.attempted_at is None else ago(one.attempted_at, now),
            _remark(one, view),
        )
    out.print(made)
    if candidates.malformed > MAX_MALFORMED:
        text = (
            f"{candidates.malformed} entries of the list are malformed, {MAX_MALFORMED} are shown"
        )
        out.print(f"{text}; health moves them to the dead letters", style="yellow")
    if not candidates.candidates:
        out.print("no Forwarder is listed or known", style="yellow")


def _remark(one: CandidateStatus, view: PairingView) -> str:
    if view.queue and one.queue == view.queue:
        return "paired"
    stale = f"stale? {one.stale}" if one.stale else ""
    return f"skipped: {one.stale}" if one.is_skipped else stale
