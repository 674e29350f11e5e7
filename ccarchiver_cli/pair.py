"""``ccarchiver pair``: the pairing and the Forwarders that could take over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccarchiver_cli import pairing
from ccarchiver_cli.connection import ask
from ccarchiver_cli.output import EXIT_WRONG, ago, confirmed, console, fail, print_json, rough, say, table
from ccarchiver_cli.pairing import RefusedError
from ccarchiver_core.session import Session, read_session
from ccarchiver_core.view.overview import PairingView, read_pairing
from ccarchiver_core.view.roster import Candidate, Roster, read_roster
from ccarchiver_core.vitals import read_vitals

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.settings import Settings

from ccarchiver_core.keys import Worker

pair = typer.Typer(no_args_is_help=True, help="The pairing with a Forwarder, and who could take over.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(pair, name="pair")


@pair.command("show")
def show(*, as_json: AsJson = False) -> None:
    """Show the pairing and whom health would ask, in its order; exit code 1 if a Forwarder is wanted and missing."""

    async def question(redis: Redis, settings: Settings) -> tuple[PairingView, Roster]:
        return await read_pairing(redis, await read_session(redis)), await read_roster(redis, settings)

    view, roster = ask(question)
    is_well = not view.wanted or bool(view.hostname)
    if as_json:
        print_json({"well": is_well, "pairing": view.model_dump(mode="json"), **_roster_dict(roster)})
    else:
        _print(view, roster)
    if not is_well:
        raise typer.Exit(EXIT_WRONG)


@pair.command("release")
def release(
    *,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Also if nobody seems to be there to take over.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the next one.")] = True,
    as_json: AsJson = False,
) -> None:
    """Give the paired Forwarder up, so that the next one takes over; unfinished images are replayed to it."""

    async def look(redis: Redis, settings: Settings) -> tuple[Session, Roster, bool]:
        lives = await read_vitals(redis, Worker.HEALTH) is not None
        return await read_session(redis), await read_roster(redis, settings), lives

    session, roster, health_lives = ask(look)
    if session.paired and session.forwarder is not None:
        _insist(session.forwarder.hostname, roster.likely, yes=yes, force=force)
    try:
        before = ask(lambda redis, _settings: pairing.release(redis))
    except RefusedError as error:
        raise fail(str(error)) from None
    after = _next_paired(before) if wait and health_lives else None
    gone = before.forwarder.hostname if before.forwarder else ""
    come = after.forwarder.hostname if after and after.forwarder else None
    if as_json:
        print_json({"released": gone, "health_lives": health_lives, "paired": come})
    elif not health_lives:
        say(f"{gone}: health shows no life; it releases it when it is back")
    else:
        say(f"{gone}: released")
        if come is not None and after is not None:
            say(f"{come}: paired, epoch {after.epoch}; unfinished images are replayed to it")
    if wait and health_lives and come is None:
        raise fail("nobody has taken over; see: ccarchiver pair show, ccarchiver status")


def _insist(hostname: str, heir: Candidate | None, *, yes: bool, force: bool) -> None:
    """Ask the operator; ends the command if nobody could take over, or the answer is no."""
    if heir is None and not force:
        raise fail(
            "no other Forwarder is listed or known that could take over: the CSC would go to FAULT "
            f"({hostname} is not asked again). Start one, or give --force"
        )
    after = f"{heir.hostname} is asked next" if heir else "nobody is there to take over"
    if not confirmed(f"Release {hostname}? ({after})", yes=yes):
        raise typer.Exit(EXIT_WRONG)


def _next_paired(before: Session) -> Session | None:
    return ask(lambda redis, settings: pairing.taken_over(redis, settings, before))


@pair.command("next")
def show_next(
    forwarder: Annotated[str | None, typer.Argument(help="Hostname or queue of the one to be asked next.")] = None,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say which Forwarder would be asked next, or have a named one be the next."""
    if forwarder is not None:
        if not confirmed(f"Put {forwarder} before all others?", yes=yes):
            raise typer.Exit(EXIT_WRONG)
        name = forwarder
        try:
            text = ask(lambda redis, settings: pairing.put_first(redis, settings, name))
        except RefusedError as error:
            raise fail(str(error)) from None
        if not as_json:
            say(text)
            return
    roster = ask(read_roster)
    if as_json:
        print_json(_roster_dict(roster))
    elif roster.next is not None:
        say(_next_text(roster.next))
        if roster.next.stale and roster.likely is not None:
            say(f"after it, the first that nothing speaks against: {_next_text(roster.likely)}")
    if roster.next is None:
        raise fail("nobody: no other Forwarder is listed or known")


def _next_text(candidate: Candidate) -> str:
    where = "on the list" if candidate.listed else "known from before"
    stale = f"; stale? {candidate.stale}" if candidate.stale else ""
    return f"{candidate.hostname} on queue {candidate.queue}, {where}{stale}"


def _roster_dict(roster: Roster) -> dict[str, Any]:
    first = roster.next
    return {"next": first.queue if first else None, **roster.model_dump(mode="json")}


def _print(view: PairingView, roster: Roster) -> None:
    out, now = console(), time.time()
    if not view.wanted:
        out.print("pairing    none: no session is wanted")
    elif not view.hostname:
        why = f"; {view.loss}" if view.loss else ""
        out.print(f"pairing    {view.pairing}, epoch {view.epoch}{why}", style="bold red")
    else:
        left = view.presence_ttl_s
        key = "is NOT there" if left is None else f"has {left:.1f} s left"
        out.print(f"pairing    {view.hostname} on queue {view.queue}, epoch {view.epoch}", style="bold")
        out.print(f"           for {rough(now - view.since)}; its key {view.presence_key} {key}")
        out.print(f"           session {view.session_id}")
    out.print()
    made = table("asked", "Forwarder", "queue", "from", "last asked", "")
    for number, one in enumerate(roster.candidates, start=1):
        made.add_row(
            *(str(number), one.hostname, one.queue, "list" if one.listed else "known"),
            "" if one.asked_at is None else ago(one.asked_at, now),
            _remark(one, view),
        )
    out.print(made)
    if not roster.candidates:
        out.print("no Forwarder is listed or known", style="yellow")


def _remark(one: Candidate, view: PairingView) -> str:
    if view.queue and one.queue == view.queue:
        return "paired"
    stale = f"stale? {one.stale}" if one.stale else ""
    return f"not asked: {one.stale}" if one.passed else stale
