"""Options of the simulated OODS, including the release that it imitates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class OodsOptions:
    """Options from the command line of an OODS.

    Parameters
    ----------
    catalogue : `Path`
        Path of the catalogue.
    no_raft : `bool`
        Whether to omit RAFT and SENSOR from statuses.
    legacy_status : `bool`
        Whether to name statuses CC_FILE_INGEST_REQUEST.
    duplicate : `bool`
        Whether to send every status twice.
    """

    catalogue: Path
    no_raft: bool = False
    legacy_status: bool = False
    duplicate: bool = False
