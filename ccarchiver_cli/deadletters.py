"""``ccarchiver deadletter``: messages that could not be handled, and what to do with them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.output import EXIT_WRONG, confirmed, console, fail, print_json, say, table
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.store import dead_letters

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.store.dead_letters import DeadLetter

COUNT = 20
"""Letters listed if nobody says how many: what fits on a screen."""

app_of_dead_letters = typer.Typer(no_args_is_help=True, help="Messages that could not be handled.")

LetterId = Annotated[str, typer.Argument(help="Id as `ccarchiver deadletter list` shows it")]
MaybeLetterId = Annotated[str | None, typer.Argument(help="Id as `ccarchiver deadletter list` shows it")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Origin = Annotated[str | None, typer.Option(help="With --all: only those of this queue or mailbox.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(app_of_dead_letters, name="deadletter")


@app_of_dead_letters.command("list")
def list_letters(
    count: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = COUNT,
    origin: Annotated[str | None, typer.Option(help="Only those of this queue or mailbox.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    found = (
        _found(origin)[:count] if origin else query_redis(lambda redis, _settings: dead_letters.newest(redis, count))
    )
    if as_json:
        print_json([_as_dict(dead_letter) for dead_letter in found])
        return
    if not found:
        say("no dead letters")
        return
    made = table("id", "origin and reason")  # the id whole: it is what the other commands take
    made.columns[0].no_wrap = True
    for dead_letter in found:
        image = f", image {dead_letter.obsid}" if dead_letter.obsid else ""
        made.add_row(
            dead_letter.id,
            f"{dead_letter.at} {dead_letter.origin}{image}, {len(dead_letter.raw)} bytes: {dead_letter.reason}",
        )
    console().print(made)


@app_of_dead_letters.command("show")
def show_letter(letter_id: LetterId, *, as_json: AsJson = False) -> None:
    """Show one dead letter, its raw bytes included."""
    dead_letter = _find(letter_id)
    if as_json:
        print_json(_as_dict(dead_letter))
        return
    for name in ("id", "at", "origin", "obsid", "reason"):
        say(f"{name}: {getattr(dead_letter, name)}")
    say(f"raw: {dead_letter.raw!r}")


@app_of_dead_letters.command("requeue")
def requeue_letter(
    letter_id: MaybeLetterId = None,
    *,
    every: All = False,
    origin: Origin = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send the original bytes the normal way again: of one, or of all (of an origin)."""
    todo = _chosen(letter_id, every=every, origin=origin)
    if every and todo and not confirmed(f"Send {len(todo)} letters again?", yes=yes):
        raise typer.Exit(EXIT_WRONG)

    async def question(redis: Redis, _settings: Settings) -> list[str]:
        return [await _requeue(redis, dead_letter) for dead_letter in reversed(todo)]  # oldest first, as they came

    refusals = query_redis(question)
    for dead_letter, refusal in zip(reversed(todo), refusals, strict=True):
        if refusal:
            typer.echo(f"ccarchiver: {dead_letter.id}: {refusal}", err=True)
        elif not as_json:
            say(f"{dead_letter.id}: requeued to {dead_letter.origin}; if rejected again, it returns as a dead letter")
    if as_json:
        print_json([{"id": one.id, "done": not why} for one, why in zip(reversed(todo), refusals, strict=True)])
    if any(refusals):
        raise typer.Exit(EXIT_WRONG)


@app_of_dead_letters.command("drop")
def drop_letter(
    letter_id: MaybeLetterId = None,
    *,
    every: All = False,
    origin: Origin = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove one dead letter for good, or all (of an origin)."""
    todo = _chosen(letter_id, every=every, origin=origin)
    if every and todo and not confirmed(f"Remove {len(todo)} letters for good?", yes=yes):
        raise typer.Exit(EXIT_WRONG)

    async def question(redis: Redis, _settings: Settings) -> None:
        for dead_letter in todo:
            await dead_letters.drop(redis, dead_letter.id)

    query_redis(question)
    if as_json:
        print_json([{"id": dead_letter.id, "done": True} for dead_letter in todo])
        return
    for dead_letter in todo:
        say(f"{dead_letter.id}: dropped")


async def _requeue(redis: Redis, dead_letter: DeadLetter) -> str:
    """Send one again; the value is why it cannot be, empty if it was."""
    try:
        await dead_letters.requeue(redis, dead_letter)
    except RejectedError as error:
        return str(error)
    return ""


def _chosen(letter_id: str | None, *, every: bool, origin: str | None) -> list[DeadLetter]:
    """Give the letters meant, newest first: one by its id, or all (of an origin)."""
    if every == (letter_id is not None):
        raise typer.BadParameter("give the id of one letter, or --all")
    if origin is not None and not every:
        raise typer.BadParameter("--origin narrows --all")
    return [_find(letter_id)] if letter_id is not None else _found(origin)


def _found(origin: str | None) -> list[DeadLetter]:
    found = query_redis(lambda redis, settings: dead_letters.newest(redis, settings.max_dead_letters))
    return [dead_letter for dead_letter in found if origin is None or dead_letter.origin == origin]


def _find(letter_id: str) -> DeadLetter:
    dead_letter = query_redis(lambda redis, _settings: dead_letters.find(redis, letter_id))
    if dead_letter is None:
        raise fail(f"no dead letter {letter_id}; see: ccarchiver deadletter list")
    return dead_letter


def _as_dict(dead_letter: DeadLetter) -> dict[str, Any]:
    return dataclasses.asdict(dead_letter) | {"raw": repr(dead_letter.raw)}
