"""``ccarchiver deadletter``: list, show, requeue and drop dead letters."""

from __future__ import annotations

import dataclasses
import sys
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
"""Default number of dead letters in a list: they fit on a screen."""

app_of_dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages that could not be processed."
)

LetterId = Annotated[str, typer.Argument(help="Id as `ccarchiver deadletter list` shows it")]
MaybeLetterId = Annotated[
    str | None, typer.Argument(help="Id as `ccarchiver deadletter list` shows it")
]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Origin = Annotated[
    str | None, typer.Option(help="With --all: only those of this queue or mailbox.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
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
    if origin:
        newest = _found(origin)[:count]
    else:
        newest = query_redis(lambda redis, _settings: dead_letters.newest(redis, count))
    if as_json:
        print_json([_as_dict(dead_letter) for dead_letter in newest])
        return
    if not newest:
        say("no dead letters")
        return
    made = table("id", "origin and reason")
    # The id is not wrapped: it is the argument of the other commands.
    made.columns[0].no_wrap = True
    for dead_letter in newest:
        image = f", image {dead_letter.obsid}" if dead_letter.obsid else ""
        origin_text = f"{dead_letter.origin}{image}, {len(dead_letter.raw)} bytes"
        made.add_row(dead_letter.id, f"{dead_letter.at} {origin_text}: {dead_letter.reason}")
    console().print(made)


@app_of_dead_letters.command("show")
def show_letter(letter_id: LetterId, *, as_json: AsJson = False) -> None:
    """Show one dead letter with its raw bytes."""
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
    """Put the raw bytes of one dead letter, or of all (of an origin), back where they came from.

    They are then processed like a new message.
    """
    todo = _chosen(letter_id, every=every, origin=origin)
    if every and todo and not confirmed(f"Requeue {len(todo)} dead letters?", yes=yes):
        raise typer.Exit(EXIT_WRONG)

    async def question(redis: Redis, _settings: Settings) -> list[str]:
        # The oldest first: the sequence in which they arrived.
        return [await _requeue(redis, dead_letter) for dead_letter in reversed(todo)]

    errors = query_redis(question)
    for dead_letter, error in zip(reversed(todo), errors, strict=True):
        if error:
            typer.echo(f"ccarchiver: {dead_letter.id}: {error}", err=True)
        elif not as_json:
            effect = "if rejected again, it returns as a dead letter"
            say(f"{dead_letter.id}: requeued to {dead_letter.origin}; {effect}")
    if as_json:
        results = zip(reversed(todo), errors, strict=True)
        print_json([{"id": dead_letter.id, "done": not error} for dead_letter, error in results])
    if any(errors):
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
    """Delete one dead letter, or all (of an origin), permanently."""
    todo = _chosen(letter_id, every=every, origin=origin)
    if every and todo and not yes and not sys.stdin.isatty():
        raise fail("nothing was deleted: without a terminal to confirm it, add --yes")
    if every and todo and not confirmed(f"Delete {len(todo)} dead letters permanently?", yes=yes):
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
    """Requeue one dead letter and return why it was not possible; empty if it succeeded."""
    try:
        await dead_letters.requeue(redis, dead_letter)
    except RejectedError as error:
        return str(error)
    return ""


def _chosen(letter_id: str | None, *, every: bool, origin: str | None) -> list[DeadLetter]:
    """Return the selected dead letters, newest first.

    They are one, selected by its id, or all (of an origin).

    Raises
    ------
    typer.BadParameter
        If the options contradict each other.
    """
    if every == (letter_id is not None):
        raise typer.BadParameter("give the id of one dead letter, or --all")
    if origin is not None and not every:
        raise typer.BadParameter("--origin is only valid together with --all")
    return [_find(letter_id)] if letter_id is not None else _found(origin)


def _found(origin: str | None) -> list[DeadLetter]:
    every = query_redis(
        lambda redis, settings: dead_letters.newest(redis, settings.max_dead_letters)
    )
    return [dead_letter for dead_letter in every if origin is None or dead_letter.origin == origin]


def _find(letter_id: str) -> DeadLetter:
    dead_letter = query_redis(lambda redis, _settings: dead_letters.find(redis, letter_id))
    if dead_letter is None:
        raise fail(f"no dead letter {letter_id}; see: ccarchiver deadletter list")
    return dead_letter


def _as_dict(dead_letter: DeadLetter) -> dict[str, Any]:
    return dataclasses.asdict(dead_letter) | {"raw": repr(dead_letter.raw)}
