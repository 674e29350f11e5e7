"""Checks of the site file and of the credentials file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import failure, ok
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import credentials_path, load_credentials
from ccarchiver_core.config.settings import settings_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

CONFIGURATION, CREDENTIALS = "configuration", "credentials"

WRONG_CONFIGURATION = frozenset({CONFIGURATION, CREDENTIALS})
"""Checks whose failure is a wrong configuration, which has its own exit code."""


def configuration(site: Site) -> Iterator[Finding]:
    """Check the site file."""
    for problem in site.problems:
        yield failure(CONFIGURATION, problem, "ccarchiver config check")
    if not site.problems:
        yield ok(CONFIGURATION, f"{settings_path()} is valid")


def credentials(_site: Site) -> Iterator[Finding]:
    """Check the credentials file; reading it includes the check of its modes."""
    path = credentials_path()
    try:
        found = load_credentials(path)
    except ConfigError as error:
        text, separator, command = str(error).rpartition(": chmod ")
        yield failure(CREDENTIALS, text or str(error), f"chmod {command}" if separator else "")
        return
    yield ok(CREDENTIALS, f"{path}: user {found.user}, only its owner can read it")
