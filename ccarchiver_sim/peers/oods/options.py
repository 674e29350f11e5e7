"""Options of the simulated OODS, including the release that it imitates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

REPORT_AFTER_S: Final = 10.0
"""Default time after which the OODS reports a repository that it cannot write: more than any
transaction takes, less than an operator waits for an image."""


@dataclass(frozen=True)
class OodsOptions:
    """Options from the command line of an OODS.

    Parameters
    ----------
    repository : `Path`
        Root of the Butler repository.
    bad_files : `Path`
        Folder for files that cannot be ingested.
    registry : `str` or `None`
        Address of the PostgreSQL database of a new repository; None for SQLite.
    report_after : `float`
        Seconds after which it reports a repository that it cannot write.
    no_raft : `bool`
        Whether to omit RAFT and SENSOR from statuses.
    legacy_status : `bool`
        Whether to name statuses CC_FILE_INGEST_REQUEST.
    duplicate : `bool`
        Whether to send every status twice.
    """

    repository: Path
    bad_files: Path
    registry: str | None = None
    report_after: float = REPORT_AFTER_S
    no_raft: bool = False
    legacy_status: bool = False
    duplicate: bool = False
