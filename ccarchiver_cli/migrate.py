"""``ccarchiver config migrate``: an old site file in the new form, with the same meaning."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_cli import site_advisories
from ccarchiver_cli.connection import EXIT_CONFIG
from ccarchiver_cli.site_file_writer import render
from ccarchiver_cli.text_layout import indented
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import load_settings

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings

EXIT_NOT_WRITTEN = 1
"""The file is there already, or cannot be written."""

OldFile = Annotated[Path, typer.Argument(metavar="FILE", help="The site file there is; it is only read.")]
NewFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="OUT", help="Where the new one goes; never over a file. Default: stdout."),
]


def migrate(file: OldFile, output: NewFile = None) -> None:
    """Write a site file anew: same values, one order, every key with its meaning.

    Comments of the old file are not taken over, so keep it. Exit code 78 if the old file is wrong.
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
    for note in site_advisories.advisories(settings):
        typer.echo(indented("note  ", note.text), err=True)


def _load(file: Path) -> Settings:
    """Read a site file of this version or an earlier one.

    A file whose connections to other hosts are unencrypted, as all files of earlier versions are, gets the setting
    that allows it.
    """
    try:
        return load_settings(file)
    except ConfigError:
        with contextlib.suppress(ConfigError):
            return load_settings(file, is_old=True)
        raise


def _write(path: Path, text: str) -> None:
    """Write a file that is not there yet, all of it or nothing: a part of it would be a site file as well."""
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                path.unlink()
                raise
    except FileExistsError:
        typer.echo(f"ccarchiver: {path}: is there already; name another file, or move that one away", err=True)
        raise typer.Exit(EXIT_NOT_WRITTEN) from None
    except OSError as error:
        typer.echo(f"ccarchiver: {path}: cannot be written: {error.strerror}; mend that or name another file", err=True)
        raise typer.Exit(EXIT_NOT_WRITTEN) from None
    typer.echo(f"{path}: written; ccarchiver config check {path}", err=True)
