"""How the simulated OODS runs, and which release it behaves like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class OodsOptions:
    """Everything an OODS is told on its command line.

    Parameters
    ----------
    catalogue : `Path`
        The catalogue's file.
    no_raft : `bool`
        Leave RAFT and SENSOR out of reports.
    legacy_status : `bool`
        Name reports CC_FILE_INGEST_REQUEST.
    duplicate : `bool`
        Send every report twice.
    """

    catalogue: Path
    no_raft: bool = False
    legacy_status: bool = False
    duplicate: bool = False
