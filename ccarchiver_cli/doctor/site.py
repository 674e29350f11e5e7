"""What the checks look at: a site's settings, or why there are none."""

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
    """Why there are no settings; each with file and line."""

    @property
    def settings(self) -> Settings:
        """The settings.

        Raises
        ------
        NotCheckedError
            If the site file is wrong: there is a line of its own for that.
        """
        if self.settings_or_none is None:
            raise NotCheckedError("the configuration is wrong")
        return self.settings_or_none


def read_site(path: Path | None = None) -> Site:
    """Read the site file in use; a wrong one gives a site without settings."""
    try:
        return Site(load_settings(path))
    except ConfigError as error:
        return Site(None, tuple(str(error).splitlines()))
