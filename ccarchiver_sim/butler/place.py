"""Where the repository of a site is, unless an option says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.config.settings import Settings

REPOSITORY_NAME: Final = "butler"
"""Folder beside OODS_STAGING, which has only files to ingest."""


def repository_of(settings: Settings) -> Path:
    """Return the root of a site's repository."""
    return settings.archive.oods_staging.parent / REPOSITORY_NAME
