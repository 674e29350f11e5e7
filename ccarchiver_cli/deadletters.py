"""``ccarchiver deadletter``: list, show, requeue and drop dead letters."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.options import AsJson, Yes  # noqa: TC001  typer reads the annotations
from ccarchiver_cli.output import EXIT_WRONG, confirmed, console, fail, print_json, say, table
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.store import dead_letters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.store.dead_letters import DeadLetter

COUNT = 20
"""Default number of dead letters in a list: they fit on a screen."""

EXAMPLE = "1795398964928-0"
"""Id of a dead letter, for a message to the operator."""

app_of_dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages that could not be processed."
)


def _valid_id(entry_id: str | None) -> str | None:
    """Return an id if it has the form of one.

    Raises
    ------
    typer.BadParameter
        If it has another form.
    """
    if entry_id is not None and dead_letters.ENTRY_ID.fullmatch(entry_id) is None:
        raise typer.BadParameter(
            f"{entry_id!r} is not the id of a dead letter. "
            f"An id looks like {EXAMPLE}; ccarchiver deadletter list shows the ids"
        )
    return entry_id


_ENTRY_ID = typer.Argument(
    metavar="ENTRY_ID", callback=_valid_id, help="Id as `ccarchiver deadletter list` shows it"
)
EntryId = Annotated[str, _ENTRY_ID]
MaybeEntryId = Annotated[str | None, _ENTRY_ID]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Origin = Annotated[
    str | None,
    typer.Option(metavar="ORIGIN", help="With --all: only those of this queue or mailbox."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(app_of_dead_letters, name="deadletter")


@app_of_dead_letters.command("list")
def list_dead_letters(
    count: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="How many, newest first.")
    ] = COUNT,
    origin: Annotated[
        str | None, typer.Option(metavar="ORIGIN", help="Only those of this queue or mailbox.")
    ] = None,
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
        _say_none(origin)
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
def show_dead_letter(entry_id: EntryId, *, as_json: AsJson = False) -> None:
    """Show one dead letter with its raw bytes."""
    dead_letter = _find(entry_id)
    if as_json:
        print_json(_as_dict(dead_letter))
        return
    for name in ("id", "at", "origin", "obsid", "reason"):
        say(f"{name}: {getattr(dead_letter, name)}")
    say(f"raw: {dead_letter.raw!r}")


@dataclass(frozen=True)
class _Action:
    """What a command does with each selected dead letter."""

    apply: Callable[[Redis, DeadLetter], Awaitable[object]]
    """Raises RejectedError if it is not possible; the dead letter then stays."""
    question: str
    """Question to the operator; `count` is replaced by the number of dead letters."""
    effect: str
    """Result for the operator; `origin` is replaced by the origin of the dead letter."""
    is_permanent: bool
    """Whether it needs a confirmation even without a terminal, because it cannot be undone."""
    is_oldest_first: bool


_REQUEUE = _Action(
    apply=dead_letters.requeue,
    question="Requeue {count} dead letters?",
    effect="requeued to {origin}; if rejected again, it returns as a dead letter",
    is_permanent=False,
    is_oldest_first=True,  # the sequence in which they arrived
)
_DROP = _Action(
    apply=lambda redis, dead_letter: dead_letters.drop(redis, dead_letter.id),
    question="Delete {count} dead letters permanently?",
    effect="dropped",
    is_permanent=True,
    is_oldest_first=False,
)


@app_of_dead_letters.command("requeue")
def requeue_dead_letters(
    entry_id: MaybeEntryId = None,
    *,
    every: All = False,
    origin: Origin = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put the raw bytes of one dead letter, or of all (of an origin), back where they came from.

    They are then processed like a new message.
    """
    _carry_out(_REQUEUE, entry_id, every=every, origin=origin, yes=yes, as_json=as_json)


@app_of_dead_letters.command("drop")
def drop_dead_letters(
    entry_id: MaybeEntryId = None,
    *,
    every: All = False,
    origin: Origin = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete one dead letter, or all (of an origin), permanently."""
    _carry_out(_DROP, entry_id, every=every, origin=origin, yes=yes, as_json=as_json)


def _carry_out(
    action: _Action,
    entry_id: str | None,
    *,
    every: bool,
    origin: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Apply an action to the selected dead letters and print the results.

    Raises
    ------
    typer.Exit
        If the operator does not confirm the action, or if it fails for a dead letter.
    """
    selected = _selected(entry_id, every=every, origin=origin)
    if every and selected:
        _require_confirmation(action, len(selected), yes=yes)
    if action.is_oldest_first:
        selected.reverse()

    async def apply(redis: Redis, _settings: Settings) -> list[str]:
        return [await _error(action, redis, dead_letter) for dead_letter in selected]

    results = list(zip(selected, query_redis(apply), strict=True))
    for dead_letter, error in results:
        if error:
            typer.echo(f"ccarchiver: {dead_letter.id}: {error}", err=True)
        elif not as_json:
            say(f"{dead_letter.id}: {action.effect.format(origin=dead_letter.origin)}")
    if as_json:
        print_json([{"id": dead_letter.id, "done": not error} for dead_letter, error in results])
    elif not results:
        _say_none(origin)
    if any(error for _, error in results):
        raise typer.Exit(EXIT_WRONG)


def _require_confirmation(action: _Action, count: int, *, yes: bool) -> None:
    """Ask the operator to confirm an action.

    Raises
    ------
    typer.Exit
        If it is not confirmed.
    """
    if action.is_permanent and not yes and not sys.stdin.isatty():
        raise fail("nothing was deleted: without a terminal to confirm it, add --yes")
    if not confirmed(action.question.format(count=count), yes=yes):
        raise typer.Exit(EXIT_WRONG)


async def _error(action: _Action, redis: Redis, dead_letter: DeadLetter) -> str:
    """Apply an action and return why it was not possible; empty if it succeeded."""
    try:
        await action.apply(redis, dead_letter)
    except RejectedError as error:
        return str(error)
    return ""


def _selected(entry_id: str | None, *, every: bool, origin: str | None) -> list[DeadLetter]:
    """Return the selected dead letters, newest first.

    They are one, selected by its id, or all (of an origin).

    Raises
    ------
    typer.BadParameter
        If the options contradict each other.
    """
    if every == (entry_id is not None):
        raise typer.BadParameter("give the id of one dead letter, or --all")
    if origin is not None and not every:
        raise typer.BadParameter("--origin is only valid together with --all")
    return [_find(entry_id)] if entry_id is not None else _found(origin)


def _found(origin: str | None) -> list[DeadLetter]:
    every = query_redis(
        lambda redis, settings: dead_letters.newest(redis, settings.max_dead_letters)
    )
    return [dead_letter for dead_letter in every if origin is None or dead_letter.origin == origin]


def _find(entry_id: str) -> DeadLetter:
    dead_letter = query_redis(lambda redis, _settings: dead_letters.find(redis, entry_id))
    if dead_letter is None:
        raise fail(f"no dead letter {entry_id}; see: ccarchiver deadletter list")
    return dead_letter


def _say_none(origin: str | None) -> None:
    say(f"no dead letters from {origin}" if origin else "no dead letters")


def _as_dict(dead_letter: DeadLetter) -> dict[str, Any]:
    return dataclasses.asdict(dead_letter) | {"raw": repr(dead_letter.raw)}
