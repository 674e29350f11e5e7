"""``ccarchiver config``: is a site file right, what is in force, and an old one in the new form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ccarchiver_cli import config_listing, site_advisories
from ccarchiver_cli.connection import EXIT_CONFIG
from ccarchiver_cli.migrate import migrate
from ccarchiver_cli.text_layout import indented
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import load_settings, settings_path
from ccarchiver_core.config.site_file import SiteFile

app = typer.Typer(no_args_is_help=True, help="The site file: check it, see what is in force, write it anew.")
app.command("migrate")(migrate)


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(app, name="config")


SiteFileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The site file; by default $IIP_CONFIG_DIR/ccarchiver_config.yaml"),
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@dataclass(frozen=True)
class Verdict:
    """What `config check` has to tell."""

    file: str | None
    """None if nobody said where it is."""
    ok: bool
    keys_set: int
    keys_known: int
    problems: list[str]
    notes: list[str]


def judge(file: Path | None) -> Verdict:
    """Check a site file, by default the one in use."""
    try:
        path = settings_path() if file is None else file
        settings = load_settings(path)
        entries = config_listing.entries(settings, SiteFile(path))
    except ConfigError as error:
        return Verdict(
            None if file is None else str(file),
            ok=False,
            keys_set=0,
            keys_known=0,
            problems=str(error).splitlines(),
            notes=[],
        )
    keys_set = sum(entry.line is not None for entry in entries)
    notes = [note.text for note in site_advisories.advisories(settings)]
    return Verdict(str(path), ok=True, keys_set=keys_set, keys_known=len(entries), problems=[], notes=notes)


@app.command("check")
def check(file: SiteFileArgument = None, *, as_json: Json = False) -> None:
    """Say whether a site file is right; exit code 78 if it is not."""
    verdict = judge(file)
    if as_json:
        typer.echo(json.dumps(asdict(verdict), indent=2))
    elif verdict.ok:
        typer.echo(f"{verdict.file}: ok, {verdict.keys_set} of {verdict.keys_known} keys set, defaults for the others")
        for note in verdict.notes:
            typer.echo(indented("note  ", note))
    else:
        for problem in verdict.problems:  # not wrapped: editors jump to file:line at the beginning of a line
            typer.echo(problem)
    if not verdict.ok:
        raise typer.Exit(EXIT_CONFIG)


@app.command("show")
def show(*, as_json: Json = False) -> None:
    """Show every setting in force: value, where it is from, what it means. Passwords are never shown."""
    try:
        path = settings_path()
        settings = load_settings(path)
        entries = config_listing.entries(settings, SiteFile(path))
    except ConfigError as error:
        typer.echo(f"ccarchiver: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    account = config_listing.account()
    if as_json:
        answer = {"file": str(path), "settings": [asdict(one) for one in entries], "credentials": asdict(account)}
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"site file {path}\n")
    for entry in entries:
        typer.echo(config_listing.text(entry))
    typer.echo(
        f"\ncredentials {account.file}\n    user {account.user}, directory mode {account.directory_mode}, ", nl=False
    )
    typer.echo(f"file mode {account.file_mode}")
    if account.problem:
        typer.echo(indented("    ", account.problem))
