"""The program ``ccarchiver``."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from ccarchiver_core import __version__
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.base.help_layout import use_help_layout
from ccarchiver_core.base.resilient_output import resilient_output

COMMANDS = {
    "status": "ccarchiver_cli.status",
    "image": "ccarchiver_cli.image",
    "images": "ccarchiver_cli.images",
    "night": "ccarchiver_cli.night",
    "catchup": "ccarchiver_cli.catchup",
    "pair": "ccarchiver_cli.pair",
    "deadletter": "ccarchiver_cli.deadletters",
    "logs": "ccarchiver_cli.logs",
    "doctor": "ccarchiver_cli.doctor.command",
    "config": "ccarchiver_cli.config",
}
"""Module of each command, whose function ``register`` adds the command to the program.

Only the module of the command that runs is imported.
"""

HELP = """Show the state of the ComCam Archiver, and correct what it could not complete.

Exit codes: 0 all is well or the command succeeded, 1 something is wrong or not found,
2 usage error, 69 Redis is unavailable, 74 the output cannot be written, 78 the configuration is
wrong, 130 interrupted by Ctrl-C.
"""


def _version(value: bool) -> None:  # noqa: FBT001  typer passes it by position
    if value:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Declare the options that stand before the command."""
    del version


def make_app(wanted: str = "") -> typer.Typer:
    """Return the program with one command, or with all commands if there is no command `wanted`."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,  # variables may hold secrets
        help=HELP,
    )
    app.callback()(_options)
    for name, module in COMMANDS.items():
        if name == wanted or wanted not in COMMANDS:
            importlib.import_module(module).register(app)
    use_help_layout(app)
    return app


@resilient_output()
def main() -> None:
    """Run the command that is typed."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    try:
        make_app(words[0] if words else "")()
    except ConfigError as error:
        # The commands report a wrong site file themselves; this is a file of login or encryption.
        typer.echo(f"ccarchiver: {error}", err=True)
        sys.exit(EXIT_CONFIG)


if __name__ == "__main__":
    main()
