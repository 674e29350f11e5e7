"""Reader of the workers' log files, including the rotated ones.

The files are read line by line, not loaded into memory.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from ccarchiver_core.log.logs import FILE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = re.compile(rf"{re.escape(FILE_PREFIX)}(?P<worker>\w+)\.log(?:\.(?P<age>\d+))?", re.ASCII)

FileKey = tuple[int, int]
"""Device and inode: they stay the same when a file is rotated."""


@dataclass
class _Open:
    worker: str
    age: int
    """Number of rotations; 0 is the file that is being written."""
    stream: IO[bytes]
    rest: bytes = b""
    """Beginning of a line whose end is not written yet."""


class LogFiles:
    """Log files of a directory.

    Each read continues where the one before stopped, also across a rotation.

    Parameters
    ----------
    folder : `pathlib.Path`
        The log directory.
    worker : `str`, optional
        Worker whose files are read; by default the files of all workers.
    """

    def __init__(self, folder: Path, worker: str = "") -> None:
        self._folder = folder
        self._worker = worker
        self._open: dict[FileKey, _Open] = {}
        self.malformed = 0
        """Number of lines that are not JSON objects, without the line that is being written."""
        self.unreadable: dict[str, str] = {}
        """Files that cannot be read, with the reasons."""

    @property
    def count(self) -> int:
        """Number of open files."""
        return len(self._open)

    @property
    def unfinished(self) -> int:
        """Number of lines whose end is not written yet."""
        return sum(bool(file.rest) for file in self._open.values())

    def lines_with(self, needle: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield each new line that contains the given bytes, with its worker.

        The files are read one after the other, the oldest of each worker first.

        Raises
        ------
        OSError
            If the directory cannot be read.
        """
        self._look()
        for file in sorted(self._open.values(), key=lambda file: (file.worker, -file.age)):
            for line in self._new_lines(file):
                if needle in line:
                    yield file.worker, line
                elif not (line.startswith(b"{") and line.endswith(b"}\n")):
                    self.malformed += 1

    def close(self) -> None:
        """Close all files. A repeated call has no effect."""
        for file in self._open.values():
            file.stream.close()
        self._open.clear()

    @staticmethod
    def _new_lines(file: _Open) -> Iterator[bytes]:
        for line in file.stream:
            if not line.endswith(b"\n"):
                file.rest += line
                return
            yield file.rest + line if file.rest else line
            file.rest = b""

    def _look(self) -> None:
        """Open new files and close the files that have been deleted.

        The newest files are opened first. A file that is rotated meanwhile is found again under its
        next name, and is recognized by its inode. No other file gets this inode while the file is
        open here.
        """
        present: set[FileKey] = set()
        for age, worker, name in sorted(self._names()):
            path = self._folder / name
            try:
                stream = path.open("rb")
            except FileNotFoundError:
                continue  # deleted by a rotation in this moment
            except OSError as error:
                self.unreadable[name] = error.strerror or type(error).__name__
                continue
            status = os.fstat(stream.fileno())
            key = (status.st_dev, status.st_ino)
            present.add(key)
            if key in self._open:
                stream.close()
                self._open[key].age = age
            else:
                self._open[key] = _Open(worker, age, stream)
        for key in self._open.keys() - present:
            self._open.pop(key).stream.close()

    def _names(self) -> Iterator[tuple[int, str, str]]:
        for name in os.listdir(self._folder):  # noqa: PTH208  only the names are needed
            found = _NAME.fullmatch(name)
            if found is not None and self._worker in ("", found["worker"]):
                yield int(found["age"] or 0), found["worker"], name
