"""``ccarchiver config``: check a site file, show the settings in force, rewrite an old file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ccarchiver_cli import config_listing, site_advisories
from ccarchiver_cli.migrate import migrate
from ccarchiver_cli.options import AsJson  # noqa: TC001  typer reads the annotation
from ccarchiver_cli.text_layout import indented
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.config.settings import load_settings, settings_path
from ccarchiver_core.config.site_file import SiteFile

app = typer.Typer(
    no_args_is_help=True,
    help="Check the site file, show the settings in force, or rewrite an old file.",
)


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(app, name="config")


SiteFileArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE", help="The site file. Default: $IIP_CONFIG_DIR/ccarchiver_config.yaml."
    ),
]


@dataclass(frozen=True)
class Verdict:
    """Result of ``ccarchiver config check``."""

    file: str | None
    """None if neither the argument nor the environment names the file."""
    ok: bool
    keys_set: int
    keys_known: int
    problems: list[str]
    notes: list[str]


def judge(file: Path | None) -> Verdict:
    """Check a site file (by default the one in use) and return the result."""
    try:
        settings = load_settings(file)
        path = settings_path() if file is None else file
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
    notes = [advisory.text for advisory in site_advisories.advisories(settings)]
    return Verdict(
        str(path),
        ok=True,
        keys_set=keys_set,
        keys_known=len(entries),
        problems=[],
        notes=notes,
    )


@app.command("check")
def check(file: SiteFileArgument = None, *, as_json: AsJson = False) -> None:
    """Check a site file. Exit code 78 if it is wrong."""
    verdict = judge(file)
    if as_json:
        typer.echo(json.dumps(asdict(verdict), indent=2))
    elif verdict.ok:
        typer.echo(
            f"{verdict.file}: ok, {verdict.keys_set} of {verdict.keys_known} keys set, "
            "defaults for the others"
        )
        for note in verdict.notes:
            typer.echo(indented("note  ", note))
    else:
        for problem in verdict.problems:
            # Not wrapped: editors follow file:line at the beginning of a line.
            typer.echo(problem)
    if not verdict.ok:
        raise typer.Exit(EXIT_CONFIG)


@app.command("show")
def show(*, as_json: AsJson = False) -> None:
    """Show each setting in force with its value, origin and meaning. Passwords are not shown."""
    try:
        settings, path = load_settings(), settings_path()
        entries = config_listing.entries(settings, SiteFile(path))
    except ConfigError as error:
        typer.echo(f"ccarchiver: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    account = config_listing.account()
    if as_json:
        answer = {
            "file": str(path),
            "settings": [asdict(one) for one in entries],
            "credentials": asdict(account),
        }
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"site file {path}\n")
    for entry in entries:
        typer.echo(config_listing.text(entry))
    typer.echo(
        f"\ncredentials {account.file}\n    user {account.user}, "
        f"directory mode {account.directory_mode}, ",
        nl=False,
    )
    typer.echo(f"file mode {account.file_mode}")
    if account.problem:
        typer.echo(indented("    ", account.problem))


app.command("migrate")(migrate)
