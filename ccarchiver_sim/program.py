"""Command lines of the simulators and of the benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_core.base.help_layout import use_help_layout

if TYPE_CHECKING:
    from collections.abc import Callable

LogLevel = Annotated[
    str, typer.Option(help="DEBUG, INFO, WARNING or ERROR; the log goes to stderr.")
]

MuteOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MSG_TYPE",
        help="Execute messages of this type but never acknowledge them; repeatable.",
    ),
]


def app_of(command: Callable[..., None]) -> typer.Typer:
    """Return a program with one command function.

    Parameters
    ----------
    command : callable
        Command function; its signature defines the command line and its docstring the help text.

    Returns
    -------
    app : `typer.Typer`
        The program; a call runs it with the arguments of the process.
    """
    # No local variables in tracebacks: they could contain credentials.
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(command)
    use_help_layout(app)
    return app
