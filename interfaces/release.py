"""What differs between the releases of SAL in the IDL of one definition."""

from __future__ import annotations

import enum
import re

__all__ = ["Release", "release_of"]

FIRST_XML_OF_SAL_7 = 12
"""Major version of the observatory's XML that came with SAL 7."""


class Release(enum.Enum):
    """A major release of SAL."""

    SAL_6 = "6"
    SAL_7 = "7"

    @property
    def has_priority(self) -> bool:
        """Whether an event ends with the field `priority`."""
        return self is Release.SAL_6

    @property
    def result_length(self) -> int | None:
        """Maximum length of the result of a command; None if it is unlimited."""
        return 256 if self is Release.SAL_6 else None

    @property
    def constant_type(self) -> str:
        """IDL type of the values of enumerations."""
        return "long" if self is Release.SAL_6 else "long long"

    def index_name(self, component: str) -> str:
        """Return the name of the field that has the index of an indexed component."""
        return f"{component}ID" if self is Release.SAL_6 else "salIndex"


def release_of(xml_version: str) -> Release:
    """Return the release of SAL that a version of the XML was made for.

    A version that does not begin with a number counts as an old one.
    """
    major = re.match(r"\d+", xml_version)
    is_new = major is not None and int(major[0]) >= FIRST_XML_OF_SAL_7
    return Release.SAL_7 if is_new else Release.SAL_6
