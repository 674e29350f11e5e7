"""``ccarchiver deadletter``: messages that could not be handled, and what to do with them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccarchiver_cli.connection import ask
from ccarchiver_cli.output import EXIT_WRONG, confirmed, console, fail, print_json, say, table
from ccarchiver_core import deadletter
from ccarchiver_core.errors import RejectedError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.deadletter import DeadLetter
    from ccarchiver_core.settings import Settings

COUNT = 20
"""Letters listed if nobody says how many: what fits on a screen."""

letters = typer.Typer(no_args_is_help=True, help="Messages that could not be handled.")

LetterId = Annotated[str, typer.Argument(help="Id as `ccarchiver deadletter list` shows it")]
MaybeLetterId = Annotated[str | None, typer.Argument(help="Id as `ccarchiver deadletter list` shows it")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Origin = Annotated[str | None, typer.Option(help="With --all: only those of this queue or mailbox.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(letters, name="deadletter")


@letters.command("list")
def list_letters(
    count: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = COUNT,
    origin: Annotated[str | None, typer.Option(help="Only those of this queue or mailbox.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    found = _found(origin)[:count] if origin else ask(lambda redis, _settings: deadletter.newest(redis, count))
    if as_json:
        print_json([_as_dict(letter) for letter in found])
        return
    if not found:
        say("no dead letters")
        return
    made = table("id", "origin and reason")  # the id whole: it is what the other commands take
    made.columns[0].no_wrap = True
    for letter in found:
        image = f", image {letter.obsid}" if letter.obsid else ""
        made.add_row(letter.id, f"{letter.at} {letter.origin}{image}, {len(letter.raw)} bytes: {letter.reason}")
    console().print(made)


@letters.command("show")
def show_letter(letter_id: LetterId, *, as_json: AsJson = False) -> None:
    """Show one dead letter, its raw bytes included."""
    letter = _find(letter_id)
    if as_json:
        print_json(_as_dict(letter))
        return
    for name in ("id", "at", "origin", "obsid", "reason"):
        say(f"{name}: {getattr(letter, name)}")
    say(f"raw: {letter.raw!r}")


@letters.command("requeue")
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
        return [await _requeue(redis, letter) for letter in reversed(todo)]  # oldest first, as they came

    refusals = ask(question)
    for letter, refusal in zip(reversed(todo), refusals, strict=True):
        if refusal:
            typer.echo(f"ccarchiver: {letter.id}: {refusal}", err=True)
        elif not as_json:
            say(f"{letter.id}: on its way again, as from {letter.origin}; what cannot be handled comes back here")
    if as_json:
        print_json([{"id": one.id, "done": not why} for one, why in zip(reversed(todo), refusals, strict=True)])
    if any(refusals):
        raise typer.Exit(EXIT_WRONG)


@letters.command("drop")
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
        for letter in todo:
            await deadletter.drop(redis, letter.id)

    ask(question)
    if as_json:
        print_json([{"id": letter.id, "done": True} for letter in todo])
        return
    for letter in todo:
        say(f"{letter.id}: dropped")


async def _requeue(redis: Redis, letter: DeadLetter) -> str:
    """Send one again; the value is why it cannot be, empty if it was."""
    try:
        await deadletter.requeue(redis, letter)
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
    found = ask(lambda redis, settings: deadletter.newest(redis, settings.max_dead_letters))
    return [letter for letter in found if origin is None or letter.origin == origin]


def _find(letter_id: str) -> DeadLetter:
    letter = ask(lambda redis, _settings: deadletter.find(redis, letter_id))
    if letter is None:
        raise fail(f"no dead letter {letter_id}; see: ccarchiver deadletter list")
    return letter


def _as_dict(letter: DeadLetter) -> dict[str, Any]:
    return dataclasses.asdict(letter) | {"raw": repr(letter.raw)}
