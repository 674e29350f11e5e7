"""``ccarchiver config migrate``: rewrite an old site file in the new form, with the same values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_cli import site_advisories
from ccarchiver_cli.site_file_writer import render
from ccarchiver_cli.text_layout import indented
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.config.settings import load_settings

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings

EXIT_NOT_WRITTEN = 1
"""Exit code: the file already exists, or cannot be written."""

OldFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The existing site file; it is only read.")
]
NewFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="The new file; it must not exist. Default: standard output.",
    ),
]


def migrate(file: OldFile, output: NewFile = None) -> None:
    """Rewrite an old site file: the same values under the names of this version, with comments.

    The comments state the meaning of each key. Comments of the old file are not copied, so keep it.
    Exit code 78 if the old file is wrong.
    """
    try:
        settings = _load(file)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    text = render(settings, file.name)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)
    for advisory in site_advisories.advisories(settings):
        typer.echo(indented("note  ", advisory.text), err=True)


def _load(file: Path) -> Settings:
    """Return the settings of a site file of this version or an earlier one.

    In files of earlier versions the connections to other hosts are unencrypted. Their settings
    therefore get the permission for plaintext.
    """
    try:
        return load_settings(file)
    except ConfigError:
        # The errors of this attempt do not include the old names, which are no problem here.
        return load_settings(file, is_old=True)


def _write(path: Path, text: str) -> None:
    """Write a new file completely or not at all.

    A part of the text would also be a valid site file.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                path.unlink()
                raise
    except FileExistsError:
        text = "already exists; name another file, or move the existing one"
        typer.echo(f"ccarchiver: {path}: {text}", err=True)
        raise typer.Exit(EXIT_NOT_WRITTEN) from None
    except OSError as error:
        reason = f"{error.strerror}; correct that or name another file"
        typer.echo(f"ccarchiver: {path}: cannot be written: {reason}", err=True)
        raise typer.Exit(EXIT_NOT_WRITTEN) from None
    typer.echo(f"{path}: written; ccarchiver config check {path}", err=True)
