"""Options and checks of arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def require_text(text: str, metavar: str, remedy: str) -> None:
    """Require an argument that is UTF-8 text and not blank, as an unset shell variable is.

    Raises
    ------
    typer.BadParameter
        If it is; the text contains the remedy.
    """
    if not text.strip():
        raise typer.BadParameter(f"it is empty; {remedy}", param_hint=metavar)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"it is not UTF-8 text; {remedy}", param_hint=metavar) from None
