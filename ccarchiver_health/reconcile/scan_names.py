"""Names in the answer to a scan: which are images of this camera, and which cannot be used.

A Forwarder lists only names of letters, digits and ``_``. The list is in a database to which other
programs can write too, so it can contain anything.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccarchiver_core.domain.image_name import MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

_LISTED = re.compile(rb"[A-Za-z0-9_]{1,%d}" % MAX_NAME)


@dataclass
class ScanNames:
    """The names in the answer to a scan, each once."""

    images: list[str] = field(default_factory=list)
    """Images of this camera, sorted."""
    of_other_cameras: list[str] = field(default_factory=list)
    rejected: list[bytes] = field(default_factory=list)
    """Names that no Forwarder lists."""

    @property
    def rejected_digest(self) -> str:
        """Digest of the rejected names; empty if there is none.

        The same names are in each answer, but they need only one dead letter.
        """
        if not self.rejected:
            return ""
        return hashlib.sha256(b"\0".join(self.rejected)).hexdigest()


def sort_names(raw: Iterable[bytes], prefix: str) -> ScanNames:
    """Return the names of an answer by their kind.

    Parameters
    ----------
    raw : `~collections.abc.Iterable`
        The names as received.
    prefix : `str`
        Beginning of the names of this camera's images.
    """
    names = ScanNames()
    for name in sorted(set(raw)):
        if _LISTED.fullmatch(name) is None:
            names.rejected.append(name)
        elif (obsid := name.decode("ascii")).startswith(prefix):
            names.images.append(obsid)
        else:
            names.of_other_cameras.append(obsid)
    return names
