"""The command ``ccarchiver doctor``."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ccarchiver_cli.doctor.files import WRONG_CONFIGURATION
from ccarchiver_cli.doctor.finding import Finding, Level
from ccarchiver_cli.doctor.registry import BINDINGS, CHECKS
from ccarchiver_cli.doctor.runner import run
from ccarchiver_cli.doctor.site import read_site
from ccarchiver_cli.options import AsJson  # noqa: TC001  typer reads the annotation
from ccarchiver_cli.text_layout import indented, width
from ccarchiver_core import __version__
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.base.host import host_name

EXIT_FAILURE = 1
"""Exit code: at least one failure."""

LEVEL_COLUMNS = 9
"""Width of the first column: the longest level and two spaces."""

STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    *,
    rabbitmqctl: Annotated[
        bool,
        typer.Option("--rabbitmqctl", help="Also check the bindings, as root: runs rabbitmqctl."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check every service that the archiver uses, and print what to type.

    Exit code: 0 if there is no failure, 1 if there is one, 78 if the configuration is wrong.
    """
    # pika logs every failed connection at length; the checks report it on one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    findings = run((*CHECKS, BINDINGS) if rabbitmqctl else CHECKS, read_site())
    if as_json:
        about = {"version": __version__, "host": host_name(), "ok": exit_code(findings) == 0}
        typer.echo(json.dumps(about | {"checks": [asdict(one) for one in findings]}, indent=2))
    else:
        show(findings)
    raise typer.Exit(exit_code(findings))


def exit_code(findings: list[Finding]) -> int:
    """Return the exit code of the program."""
    failed = {finding.check for finding in findings if finding.level is Level.FAILURE}
    if failed & WRONG_CONFIGURATION:
        return EXIT_CONFIG
    return EXIT_FAILURE if failed else 0


def show(findings: list[Finding]) -> None:
    """Print the findings as text: what was found, and below it the remedy."""
    console = Console(width=width(), highlight=False)
    for finding in findings:
        text = indented(f"{finding.level:<{LEVEL_COLUMNS}}", f"{finding.check}: {finding.found}")
        line = Text(text)
        line.stylize(STYLES[finding.level], 0, len(finding.level))
        console.print(line, soft_wrap=True)
        if finding.remedy:
            console.print(
                Text(indented(" " * LEVEL_COLUMNS + "→ ", finding.remedy)), soft_wrap=True
            )
    counts = Counter(finding.level for finding in findings)
    text = (
        f"ok: {counts[Level.OK]}, warnings: {counts[Level.WARNING]}, "
        f"failures: {counts[Level.FAILURE]}"
    )
    console.print(Text(text))
