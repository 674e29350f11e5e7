"""The program ``ccarchiver``."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from ccarchiver_cli import config, images, logs, status
from ccarchiver_cli.connection import ask
from ccarchiver_cli.doctor.command import doctor
from ccarchiver_core import __version__, deadletter
from ccarchiver_core.errors import RejectedError

EXIT_NOT_FOUND = 1
"""What was asked for is not there, or not well."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # variables may hold secrets
    help="Look into the ComCam Archiver and mend what it could not.",
)
letters = typer.Typer(no_args_is_help=True, help="Messages that could not be handled.")
app.add_typer(letters, name="deadletter")
app.add_typer(config.app, name="config")
app.command("doctor")(doctor)
app.command("logs")(logs.show)

ImageName = Annotated[str, typer.Argument(help="The image's name, e.g. CC_O_20261122_000001")]
LetterId = Annotated[str, typer.Argument(help="Id as `ccarchiver deadletter list` shows it")]


def _version(value: bool) -> None:  # noqa: FBT001  typer calls it so
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    *, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False
) -> None:
    """Options before the command."""
    del version


@app.command("status")
def show_status(*, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show the session, the workers, and who owes each unfinished image its next step."""
    if not status.show(ask(status.collect), as_json=as_json):
        raise typer.Exit(EXIT_NOT_FOUND)


@app.command("image")
def show_image(
    obsid: ImageName,
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Give a failed image another try.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole record, for programs.")] = False,
) -> None:
    """Show all that is known of one image."""
    if retry:
        done, text = ask(lambda redis, _settings: images.retry(redis, obsid))
        typer.echo(text)
        raise typer.Exit(0 if done else EXIT_NOT_FOUND)
    record, files_per_image = ask(lambda redis, settings: images.read(redis, settings, obsid))
    if not record:
        typer.echo(f"ccarchiver: no image {obsid} in the ledger", err=True)
        raise typer.Exit(EXIT_NOT_FOUND)
    if as_json:
        typer.echo(json.dumps(dict(sorted(record.items())), indent=2))
        return
    for line in images.describe(record, files_per_image):
        typer.echo(line)


@letters.command("list")
def list_letters(
    count: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List dead letters, newest first."""
    found = ask(lambda redis, _settings: deadletter.newest(redis, count))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) | {"raw": repr(one.raw)} for one in found], indent=2))
        return
    for letter in found:  # the id first and whole: it is what the other commands take
        image = f", image {letter.obsid}" if letter.obsid else ""
        typer.echo(f"{letter.id}  {letter.at}  {letter.origin}{image}, {len(letter.raw)} bytes: {letter.reason}")


@letters.command("show")
def show_letter(letter_id: LetterId) -> None:
    """Show one dead letter, its raw bytes included."""
    letter = _find(letter_id)
    for name in ("id", "at", "origin", "obsid", "reason"):
        typer.echo(f"{name}: {getattr(letter, name)}")
    typer.echo(f"raw: {letter.raw!r}")


@letters.command("requeue")
def requeue_letter(letter_id: LetterId) -> None:
    """Send the original bytes the normal way again."""
    letter = _find(letter_id)
    try:
        ask(lambda redis, _settings: deadletter.requeue(redis, letter))
    except RejectedError as error:
        typer.echo(f"ccarchiver: {letter_id}: {error}", err=True)
        raise typer.Exit(EXIT_NOT_FOUND) from None
    typer.echo(f"{letter_id}: on its way again, as from {letter.origin}; what cannot be handled comes back here")


@letters.command("drop")
def drop_letter(letter_id: LetterId) -> None:
    """Remove one dead letter for good."""
    letter = _find(letter_id)
    ask(lambda redis, _settings: deadletter.drop(redis, letter.id))
    typer.echo(f"{letter_id}: dropped")


def _find(letter_id: str) -> deadletter.DeadLetter:
    letter = ask(lambda redis, _settings: deadletter.find(redis, letter_id))
    if letter is None:
        typer.echo(f"ccarchiver: no dead letter {letter_id}; see: ccarchiver deadletter list", err=True)
        raise typer.Exit(EXIT_NOT_FOUND)
    return letter


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
