"""The workers' log files, those put aside and those still written, read without a copy in memory."""

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
"""Device and inode: what a file keeps when it is put aside under another name."""


@dataclass
class _Open:
    worker: str
    age: int
    """How often it was put aside; 0 is the one being written."""
    stream: IO[bytes]
    rest: bytes = b""
    """A line whose end is not written yet."""


class LogFiles:
    """The log files of a directory; each reading goes on where the one before stopped, also across a rotation.

    Parameters
    ----------
    folder : `pathlib.Path`
        The log directory.
    worker : `str`, optional
        Only this worker's files; all workers' by default.
    """

    def __init__(self, folder: Path, worker: str = "") -> None:
        self._folder = folder
        self._worker = worker
        self._open: dict[FileKey, _Open] = {}
        self.malformed = 0
        """Lines so far that cannot be whole JSON objects; the one being written is not among them."""
        self.unreadable: dict[str, str] = {}
        """Files that cannot be read, each with the reason."""

    @property
    def count(self) -> int:
        """Files that are read."""
        return len(self._open)

    @property
    def unfinished(self) -> int:
        """Lines whose end is missing so far."""
        return sum(bool(file.rest) for file in self._open.values())

    def lines_with(self, needle: bytes) -> Iterator[tuple[str, bytes]]:
        """Give each new line that has these bytes in it, with its worker: file by file, each worker's oldest first.

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
        """Close all files; safe to repeat."""
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
        """Open what is new and close what is gone.

        Newest first: a file that is put aside meanwhile is met again under its next name, and known by its inode,
        which nobody else gets as long as it is open here.
        """
        there: set[FileKey] = set()
        for age, worker, name in sorted(self._names()):
            path = self._folder / name
            try:
                stream = path.open("rb")
            except FileNotFoundError:
                continue  # put aside just now, for the last time
            except OSError as error:
                self.unreadable[name] = error.strerror or type(error).__name__
                continue
            about = os.fstat(stream.fileno())
            key = (about.st_dev, about.st_ino)
            there.add(key)
            if key in self._open:
                stream.close()
                self._open[key].age = age
            else:
                self._open[key] = _Open(worker, age, stream)
        for key in self._open.keys() - there:
            self._open.pop(key).stream.close()

    def _names(self) -> Iterator[tuple[int, str, str]]:
        for name in os.listdir(self._folder):  # noqa: PTH208  names are all that is asked
            found = _NAME.fullmatch(name)
            if found is not None and self._worker in ("", found["worker"]):
                yield int(found["age"] or 0), found["worker"], name
