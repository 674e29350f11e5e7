"""Structured logs: one JSON object a line in the log directory, readable lines on standard error.

Every line has the keys ``timestamp`` (UTC), ``level``, ``event``, ``logger``, ``worker`` and ``pid``; where they apply,
under these names everywhere, ``image``, ``ack_id``, ``session`` and ``epoch`` (the pairing's, within its session).
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import stat
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from typing_extensions import override

from ccarchiver_core.log.log_line import readable

if TYPE_CHECKING:
    from io import TextIOWrapper
    from pathlib import Path
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger

FILE_PREFIX = "ccarchiver_"
"""How a log file's name begins; the worker's name and ``.log`` follow, and ``.1``, ``.2``, … on those put aside."""

FILE_BYTES = 10_000_000
"""Size at which a log file is put aside: some 30,000 lines, 3,000 images: a long night."""

FILES_KEPT = 10
"""Log files kept beside the current one."""

LOUD_LIBRARIES = ("pika", "botocore", "boto3", "asyncio")
"""Libraries whose informational lines would drown ours."""

LAST_ERROR_LENGTH = 300
"""Characters of the last error that are kept for the vital signs: a line or two of a terminal."""

SERIOUS = frozenset({"error", "critical"})
"""Levels of lines that are remembered as the last error."""

_FRAME = frozenset({"event", "level", "timestamp", "logger", "worker", "pid", "exc_info", "stack"})
"""What is in every line, or is no text: not part of the last error's words."""

_log = structlog.get_logger(__name__)


@dataclass
class LastError:
    """The last line at level error or above of this process; empty text and 0 if there was none. Time: Unix, UTC."""

    text: str = ""
    at: float = 0.0

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        """Remember a line that is serious enough; a processor of structlog, which changes nothing of the line."""
        if event_dict.get("level") in SERIOUS:
            words = [str(event_dict.get("event", ""))]
            words += [f"{key}={value}" for key, value in event_dict.items() if key not in _FRAME and key[0] != "_"]
            error = _error_of(event_dict.get("exc_info"))
            if error is not None:
                words.append(f"{type(error).__name__}: {error}")
            self.text = " ".join(" ".join(words).split())[:LAST_ERROR_LENGTH]
            self.at = time.time()
        return event_dict


last_error = LastError()
"""This process' own; its vital signs show it."""


def configure(worker: str, log_dir: Path | None) -> None:
    """Set up logging of this process; call it once, first.

    Parameters
    ----------
    worker : `str`
        Whose lines they are: the key ``worker`` in each, and part of the file's name.
    log_dir : `pathlib.Path` or None
        Where the file goes; None for standard error only.

    Notes
    -----
    A directory that cannot be written is reported, and the program goes on with standard error: an exposure is worth
    more than its log line.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _signature(worker),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        last_error,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    to_terminal: logging.Handler = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(_formatter(shared, structlog.processors.format_exc_info, _for_terminal))
    root = logging.getLogger()
    root.handlers[:] = [to_terminal]
    root.setLevel(logging.INFO)
    for library in LOUD_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # pika reports every lost connection at length; the bridge's own supervision says it in one line
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    sys.excepthook = _log_crash
    if log_dir is None:
        return
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        to_file = _LinesFile(
            log_dir / f"{FILE_PREFIX}{worker}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
        )
    except OSError as error:
        _log.warning(
            "log_dir.unusable",
            log_dir=str(log_dir),
            error=error.strerror,
            effect="logging to standard error only",
            remedy=f"make it writable (chown $USER {log_dir}) or set IIP_LOG_DIR to another directory",
        )
        return
    to_file.setFormatter(_formatter(shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()))
    root.addHandler(to_file)


class _LinesFile(logging.handlers.RotatingFileHandler):
    """Asks the file for its size; the library's own formats each line a second time to know its length."""

    @override
    def shouldRollover(self, record: logging.LogRecord) -> bool:
        if self.stream is None:  # it could not be opened after the last time it was put aside
            self.stream = self._open()
        about = os.fstat(self.stream.fileno())
        return stat.S_ISREG(about.st_mode) and about.st_size >= self.maxBytes

    @override
    def _open(self) -> TextIOWrapper:
        # A line that a full disk or a power cut has torn must not swallow the first one of this process.
        stream = super()._open()
        try:
            with open(self.baseFilename, "rb") as before:  # noqa: PTH123  the library keeps a text, not a path
                if before.seek(0, os.SEEK_END) and before.seek(-1, os.SEEK_END) and before.read() != b"\n":
                    stream.write("\n")
        except OSError:
            _log.debug("log_file.unreadable", path=self.baseFilename)  # write-only: nothing can be mended
        return stream


def _signature(worker: str) -> Processor:
    """Give a processor that says in each line whose it is."""
    pid = os.getpid()

    def sign(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        event_dict["worker"] = worker
        event_dict["pid"] = pid
        return event_dict

    return sign


def _formatter(shared: list[Processor], *last: Processor) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _for_terminal(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    """Render a line for a person; below it the traceback, as Python prints it: without values, secrets among them."""
    below = [str(event_dict[key]) for key in ("stack", "exception") if event_dict.get(key)]
    return "\n".join([readable(event_dict), *below])


def _error_of(exc_info: object) -> BaseException | None:
    """Find the exception in what a line has as ``exc_info``."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exception() if exc_info else None


def _log_crash(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Have what ends a program unforeseen in its log file too, where the python of supervisord's child has no say."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _log.critical("worker.crashed", exc_info=(kind, error, traceback))
