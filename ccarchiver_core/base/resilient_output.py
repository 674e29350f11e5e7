"""Standard output and standard error that do not fail, whatever they are connected to.

Every program of the project runs in `resilient_output`:

* A character that the encoding lacks is replaced by ASCII: an arrow by ``->``, for example.
* A reader that leaves early (``| head -1``) does not change the exit code.
* A stream that was closed before the start discards what is written to it.
* Output that cannot be written, as on a full disk, ends the program with one line and an exit code
  of its own, after its work.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from typing_extensions import override

from ccarchiver_core.base.exit_codes import EXIT_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

ERROR_HANDLER = "ccarchiver.ascii"
"""Name of our error handler of `codecs`, which replaces what an encoding lacks."""

STDOUT, STDERR = 1, 2

_ASCII = {
    "→": "->",
    "←": "<-",
    "…": "...",
    "×": "x",  # noqa: RUF001
    "≤": "<=",
    "≥": ">=",
    "±": "+-",
    "µ": "u",
    "−": "-",  # noqa: RUF001  the minus sign
    "–": "-",  # noqa: RUF001  the en dash
    "—": "-",
    "‘": "'",  # noqa: RUF001
    "’": "'",  # noqa: RUF001
    "“": '"',
    "”": '"',
    "\N{NO-BREAK SPACE}": " ",
    "✓": "ok",
    "✔": "ok",
    **dict.fromkeys("•‣◦●○▪·∙", "*"),
    **dict.fromkeys("─━┄┅┈┉╌╍═╴╶╸╺╼╾", "-"),
    **dict.fromkeys("│┃┆┇┊┋╎╏║╵╷╹╻╽╿❱", "|"),
}
"""Typographical characters and their replacements.

No alphabetic character is here. A path that is shown with ``a`` for ``á`` would name another file,
so such a character is escaped, as in Python.
"""

_OTHERS = (
    (range(0x2500, 0x2580), "+"),  # the corners and crossings of tables
    (range(0x2580, 0x25A0), "#"),  # blocks of progress bars
    (range(0x2800, 0x2900), "*"),  # spinners
)


def encodable(text: str, encoding: str | None) -> str:
    """Return a text with only characters that the encoding has; None stands for every character."""
    if encoding is None or text.isascii():
        return text
    return text.encode(encoding, ERROR_HANDLER).decode(encoding)


def is_reader_gone() -> bool:
    """Return whether nothing reads standard output any more, so an endless command can end."""
    poll = select.poll()
    poll.register(STDOUT, 0)  # errors are reported all the same
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


@contextlib.contextmanager
def resilient_output() -> Iterator[None]:
    """Run a program with standard streams that do not fail; also usable as a decorator.

    Raises
    ------
    SystemExit
        With `EXIT_OUTPUT`, if output could not be written.
    """
    _open_closed_ones()
    output = _replace("stdout", STDOUT)
    _replace("stderr", STDERR)
    try:
        yield
    except SystemExit:
        _finish(output)
        raise
    _finish(output)


class _Output(io.FileIO):
    """A file descriptor that accepts every write.

    It drops what cannot be written, and keeps the error unless the reader has left.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.error: OSError | None = None

    @override
    def write(self, data: Buffer, /) -> int:
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
            while written is None:  # another program has made the terminal non-blocking
                select.select([], [self], [])
                written = super().write(data)
        except OSError as error:
            if error.errno not in {errno.EPIPE, errno.ECONNRESET}:
                self.error = error
            return size
        return written


def _open_closed_ones() -> None:
    """Open the null device in place of each standard stream that was closed before the start.

    Otherwise the next file or connection would get its number, and a line for the terminal could go
    to Redis.
    """
    for descriptor in (0, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one


def _replace(name: str, descriptor: int) -> _Output | None:
    """Replace a stream of `sys`; return its output, or None if something else has replaced it."""
    stream: TextIO | None = getattr(sys, name)
    if stream is None:
        encoding, is_unbuffered = "utf-8", False
    elif (
        isinstance(stream, io.TextIOWrapper)
        and stream is getattr(sys, f"__{name}__")
        and not isinstance(stream.buffer, _Output)
        and not isinstance(getattr(stream.buffer, "raw", None), _Output)
        and stream.fileno() == descriptor
    ):
        encoding, is_unbuffered = stream.encoding, stream.write_through
        with contextlib.suppress(OSError):
            stream.flush()
    else:
        return None
    output = _Output(descriptor)
    made = io.TextIOWrapper(
        # Python itself leaves the buffer out if the output is unbuffered.
        output if is_unbuffered else io.BufferedWriter(output),
        encoding=encoding,
        errors=ERROR_HANDLER,
        line_buffering=descriptor == STDERR or output.isatty(),
        write_through=is_unbuffered,
    )
    setattr(sys, name, made)
    setattr(sys, f"__{name}__", made)
    return output


def _finish(output: _Output | None) -> None:
    """Flush the streams; end the program with `EXIT_OUTPUT` if output could not be written."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if output is not None and output.error is not None:
        reason = output.error.strerror
        sys.stderr.write(f"{Path(sys.argv[0]).name}: the output cannot be written: {reason}\n")
        sys.stderr.flush()
        sys.exit(EXIT_OUTPUT)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for the characters that an encoding lacks; an error handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_ascii, text)), error.end


def _ascii(character: str) -> str:
    if character in _ASCII:
        return _ASCII[character]
    for codes, replacement in _OTHERS:
        if ord(character) in codes:
            return replacement
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(ERROR_HANDLER, _replaced)
