"""Structured logs: one JSON object a line in the log directory, readable lines on standard error."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import Processor

FILE_BYTES = 10_000_000
"""Size at which a log file is put aside: some 40,000 lines, a night at several exposures a second."""

FILES_KEPT = 10
"""Log files kept beside the current one."""

LOUD_LIBRARIES = ("pika", "botocore", "boto3", "asyncio")
"""Libraries whose informational lines would drown ours."""


def configure(name: str, log_dir: Path | None) -> None:
    """Set up logging of this process; call it once, first.

    Parameters
    ----------
    name : `str`
        Name of the program: its file is ``<name>.log``.
    log_dir : `pathlib.Path` or None
        Where the file goes; None for standard error only.

    Notes
    -----
    A directory that cannot be written is reported, and the program goes on with standard error: an exposure is worth
    more than its log line.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
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
    to_terminal.setFormatter(
        _formatter(
            shared,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # the others show variables, secrets among them
            ),
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [to_terminal]
    root.setLevel(logging.INFO)
    for library in LOUD_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # pika reports every lost connection at length; the bridge's own supervision says it in one line
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    if log_dir is None:
        return
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        to_file = logging.handlers.RotatingFileHandler(
            log_dir / f"{name}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
        )
    except OSError as error:
        logging.getLogger(__name__).warning(
            "log directory %s: %s; logging to standard error only. Make it writable (chown $USER %s) "
            "or set IIP_LOG_DIR to another directory",
            log_dir,
            error.strerror,
            log_dir,
        )
        return
    to_file.setFormatter(_formatter(shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()))
    root.addHandler(to_file)


def _formatter(shared: list[Processor], *last: Processor) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
