"""Input of the checks: the settings of a site, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import NotCheckedError
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Site:
    """One site."""

    settings_or_none: Settings | None
    problems: tuple[str, ...] = ()
    """Errors of the site file, each with file and line."""

    @property
    def settings(self) -> Settings:
        """Settings of the site.

        Raises
        ------
        NotCheckedError
            If the site file is wrong, which has a check of its own.
        """
        if self.settings_or_none is None:
            raise NotCheckedError("the configuration is wrong")
        return self.settings_or_none


def read_site(path: Path | None = None) -> Site:
    """Return the site of the site file in use; it has no settings if the file is wrong."""
    try:
        return Site(load_settings(path))
    except ConfigError as error:
        return Site(None, tuple(str(error).splitlines()))
