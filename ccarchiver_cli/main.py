"""The program ``ccarchiver``."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from ccarchiver_core import __version__
from ccarchiver_core.base.errors import ConfigError

EXIT_CONFIG = 78
"""The configuration is wrong (EX_CONFIG of sysexits.h)."""

COMMANDS = {
    "status": "ccarchiver_cli.status",
    "image": "ccarchiver_cli.image",
    "images": "ccarchiver_cli.images",
    "night": "ccarchiver_cli.night",
    "pair": "ccarchiver_cli.pair",
    "deadletter": "ccarchiver_cli.deadletters",
    "logs": "ccarchiver_cli.logs",
    "doctor": "ccarchiver_cli.doctor.command",
    "config": "ccarchiver_cli.config",
}
"""Each command and the module whose ``register`` adds it; only the one that is asked for is imported."""

HELP = (
    "Look into the ComCam Archiver and mend what it could not. Exit codes: 0 well or done, 1 something is wrong or not "
    "found, 2 wrong use, 69 Redis is away, 78 wrong configuration."
)


def _version(value: bool) -> None:  # noqa: FBT001  typer calls it so
    if value:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    *, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False
) -> None:
    """Options before the command."""
    del version


def make_app(wanted: str = "") -> typer.Typer:
    """Make the program with one command, or with all of them if there is no such command."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,  # variables may hold secrets
        help=HELP,
    )
    app.callback()(_options)
    for name, module in COMMANDS.items():
        if name == wanted or wanted not in COMMANDS:
            importlib.import_module(module).register(app)
    return app


def main() -> None:
    """Run the command."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    try:
        make_app(words[0] if words else "")()
    except ConfigError as error:  # a file that login or encryption need; commands themselves tell of the site file
        typer.echo(f"ccarchiver: {error}", err=True)
        sys.exit(EXIT_CONFIG)


if __name__ == "__main__":
    main()
