"""The catalogue of ingested files: one row for each file, even if requests are repeated."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

LOCK_TIMEOUT_S: Final = 10.0
"""Time to wait for a reader of the catalogue, such as a test that counts its rows."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    filename TEXT PRIMARY KEY,
    obsid TEXT NOT NULL,
    raft TEXT NOT NULL,
    sensor TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 1
)
"""

REGISTER: Final = """
INSERT INTO files (filename, obsid, raft, sensor) VALUES (?, ?, ?, ?)
ON CONFLICT (filename) DO UPDATE SET requests = requests + 1
RETURNING requests
"""


class Catalogue:
    """A catalogue in an SQLite file; only one thread at a time may use it.

    Parameters
    ----------
    path : `Path`
        Path of the file; created if missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(
            path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        # With WAL, readers do not block ingestion.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(SCHEMA)

    def register(self, filename: str, obsid: str, raft: str, sensor: str) -> int:
        """Enter a file; return the number of its requests, 1 for a new file."""
        row = self._database.execute(REGISTER, (filename, obsid, raft, sensor)).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
