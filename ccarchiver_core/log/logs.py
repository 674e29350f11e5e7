"""Structured logs: one JSON object per line in the log directory, readable lines on standard error.

Every line has the keys ``timestamp`` (UTC), ``level``, ``event``, ``logger``, ``worker`` and
``pid``. Where they apply, it has ``image``, ``ack_id``, ``session`` and ``epoch`` (the number of
the pairing), with the same names everywhere.
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
from ccarchiver_core.log.unblocked_handler import UnblockedHandler

if TYPE_CHECKING:
    from io import TextIOWrapper
    from pathlib import Path
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger

FILE_PREFIX = "ccarchiver_"
"""Prefix of a log file's name.

The worker's name and ``.log`` follow; rotated files have ``.1``, ``.2``, … at the end.
"""

FILE_BYTES = 10_000_000
"""Size at which a log file is rotated: about 30,000 lines or 3,000 images, a long night."""

FILES_KEPT = 10
"""Number of rotated log files."""

LOUD_LIBRARIES = ("pika", "botocore", "boto3", "asyncio")
"""Libraries whose informational lines would be far more than the archiver's own."""

LAST_ERROR_LENGTH = 300
"""Characters of the last error in the heartbeat: one or two lines of a terminal."""

SERIOUS = frozenset({"error", "critical"})
"""Levels of lines that are kept as the last error."""

_FRAME = frozenset(
    {"event", "effect", "level", "timestamp", "logger", "worker", "pid", "exc_info", "stack"}
)
"""Keys that every line has, or that are not text; they are not part of the last error."""

_log = structlog.get_logger(__name__)


@dataclass
class LastError:
    """The last error of this process that has an effect on its work, with its Unix time (UTC).

    It is a line at level error or above with the key ``effect``. Other errors, such as those of a
    library, are only logged: an operator could not tell what they mean.

    If there was none, the text is empty and the time 0.
    """

    text: str = ""
    at: float = 0.0

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        """Keep such a line; a structlog processor that does not change the line."""
        effect = event_dict.get("effect")
        if effect and event_dict.get("level") in SERIOUS:
            words = [str(event_dict.get("event", ""))]
            words += [
                f"{key}={value}"
                for key, value in event_dict.items()
                if key not in _FRAME and key[0] != "_"
            ]
            error = _error_of(event_dict.get("exc_info"))
            if error is not None:
                words.append(f"{type(error).__name__}: {error}")
            text = f"{effect}: {' '.join(words)}"
            self.text = " ".join(text.split())[:LAST_ERROR_LENGTH]
            self.at = time.time()
        return event_dict


last_error = LastError()
"""Last error of this process; its heartbeat contains it."""


def configure(worker: str, log_dir: Path | None) -> None:
    """Configure the logging of this process; call it once, before anything logs.

    Parameters
    ----------
    worker : `str`
        Name of the worker: value of the key ``worker``, and part of the file's name.
    log_dir : `pathlib.Path` or None
        Directory of the log file; None for standard error only.

    Notes
    -----
    If the directory is not writable, this is logged, and the process continues with standard error:
    images are more important than their log lines.
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
    to_terminal = UnblockedHandler(sys.stderr)
    to_terminal.setFormatter(_Formatter(shared, _for_terminal))
    root = logging.getLogger()
    root.handlers[:] = [to_terminal]
    root.setLevel(logging.INFO)
    for library in LOUD_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # pika logs many lines for each lost connection; the bridge logs one line itself.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    sys.excepthook = _log_crash
    if log_dir is None:
        return
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        to_file = _LinesFile(
            log_dir / f"{FILE_PREFIX}{worker}.log",
            maxBytes=FILE_BYTES,
            backupCount=FILES_KEPT,
            encoding="utf-8",
        )
    except OSError as error:
        _log.warning(
            "log_dir.unusable",
            log_dir=str(log_dir),
            error=error.strerror,
            effect="logging to standard error only",
            remedy=f"make it writable (chown $USER {log_dir}) "
            "or set IIP_LOG_DIR to another directory",
        )
        return
    to_file.setFormatter(_Formatter(shared, structlog.processors.JSONRenderer()))
    root.addHandler(to_file)


class _LinesFile(logging.handlers.RotatingFileHandler):
    """Rotates by the size of the file.

    The base class would format each line a second time to get its length.
    """

    @override
    def shouldRollover(self, record: logging.LogRecord) -> bool:
        if self.stream is None:  # it could not be opened after the last rotation
            self.stream = self._open()
        status = os.fstat(self.stream.fileno())
        return stat.S_ISREG(status.st_mode) and status.st_size >= self.maxBytes

    @override
    def _open(self) -> TextIOWrapper:
        # A full disk or a power cut may have left an incomplete line. The first line of this
        # process must not be appended to it.
        stream = super()._open()
        try:
            with open(self.baseFilename, "rb") as before:  # noqa: PTH123  it is a text
                if (
                    before.seek(0, os.SEEK_END)
                    and before.seek(-1, os.SEEK_END)
                    and before.read() != b"\n"
                ):
                    stream.write("\n")
        except OSError:
            # The file is write-only, so its end cannot be checked.
            _log.debug("log_file.unreadable", path=self.baseFilename)
        return stream


def _signature(worker: str) -> Processor:
    """Return a processor that adds the keys ``worker`` and ``pid`` to each line."""
    pid = os.getpid()

    def sign(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        event_dict["worker"] = worker
        event_dict["pid"] = pid
        return event_dict

    return sign


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Formatter of lines; it renders those without a traceback at once.

    The base class would copy each record for each handler. That takes longer than the rendering.

    Parameters
    ----------
    shared : `list`
        Processors that a line of a library needs first.
    render : callable
        Renders a line; it does not change it.
    """

    def __init__(self, shared: list[Processor], render: Processor) -> None:
        self._render = render
        super().__init__(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                render,
            ],
        )

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: object = record.msg
        if isinstance(line, dict) and "exc_info" not in line:
            return str(self._render(None, record.levelname, line))
        return super().format(record)


def _for_terminal(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    """Return the readable form of a line, with the traceback below it.

    The traceback is that of Python, without values of variables, which could be secrets.
    """
    below = [str(event_dict[key]) for key in ("stack", "exception") if event_dict.get(key)]
    return "\n".join([readable(event_dict), *below])


def _error_of(exc_info: object) -> BaseException | None:
    """Return the exception in the value of ``exc_info``; None if there is none."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exception() if exc_info else None


def _log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Log an unexpected exception that ends the process, so that the log file contains it.

    Python itself prints it to standard error only.
    """
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _log.critical("worker.crashed", exc_info=(kind, error, traceback))
