"""A log handler that never waits for the program that reads standard error.

supervisord reads the standard error of a worker through a pipe. If supervisord hangs, or has lost
the pipe, the pipe becomes full after some hundred lines, and the next write would block the worker.
"""

from __future__ import annotations

import io
import logging
import select
from typing import TYPE_CHECKING, Final

from typing_extensions import override

if TYPE_CHECKING:
    from typing import TextIO

STEP: Final = select.PIPE_BUF // 4
"""Characters written at once.

A pipe that is ready accepts PIPE_BUF bytes without blocking, and a character has at most 4 bytes.
"""


class UnblockedHandler(logging.Handler):
    """Writes lines to a stream, and drops a line while nothing reads the stream.

    When lines can be written again, the first one gives the number of those dropped. The log file
    has them.

    Parameters
    ----------
    stream : `typing.TextIO`
        The stream, usually standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._dropped = 0
        self._poll = select.poll()
        try:
            self._poll.register(stream, select.POLLOUT)
            self._has_descriptor = True
        except (io.UnsupportedOperation, ValueError):  # a stream in memory never blocks
            self._has_descriptor = False

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
            if self._dropped:
                text = f"({self._dropped} lines before are only in the log file)\n{text}"
            if self._write(text):
                self._dropped = 0
            else:
                self._dropped += 1
        except Exception:  # noqa: BLE001  as in logging's own handlers
            self.handleError(record)

    def _write(self, text: str) -> bool:
        """Write a text; return False if it was not written completely, because the pipe is full."""
        for start in range(0, len(text), STEP):
            # An error of the pipe is an event too; the write then reports it.
            if self._has_descriptor and not self._poll.poll(0):
                return False
            self._stream.write(text[start : start + STEP])
            self._stream.flush()
        return True
