"""What the command lines of all peers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

LogLevel = Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR; the log goes to stderr.")]

MuteOption = Annotated[
    list[str] | None,
    typer.Option(metavar="MSG_TYPE", help="Never acknowledge messages of this type, though act on them; repeatable."),
]


def app_of(command: Callable[..., None]) -> typer.Typer:
    """Make a program of one command function.

    Parameters
    ----------
    command : callable
        The function; its signature is the command line and its docstring the help text.

    Returns
    -------
    app : `typer.Typer`
        The program; calling it runs it with the process's arguments.
    """
    # No locals in tracebacks: they could show credentials.
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(command)
    return app
