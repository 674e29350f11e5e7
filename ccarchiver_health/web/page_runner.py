"""Runs the status page beside the worker: whatever fails here is logged and tried again, and stays here."""

from __future__ import annotations

import asyncio
import errno
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.web.server import StatusServer

    Metrics = Callable[[Redis, Settings], Awaitable[tuple[bytes, str]]]
    """Renders the metrics: body and content type."""
    Maker = Callable[[Settings], StatusServer]

SETTLE_S = 0.5
"""The worker's own start comes first: pairing and watches are at work by then, the page's libraries are not loaded."""

FIRST_RETRY_S = 1.0
"""A predecessor that is just ending leaves its port within a second."""

LONGEST_RETRY_S = 30.0

STEADY_S = 60.0
"""A page that served so long is started again as if for the first time."""

_log = structlog.get_logger(__name__)


async def run_page(settings: Settings) -> None:
    """Serve the page until cancelled; returns at once if it is switched off, and raises nothing."""
    if settings.status_port == 0:
        _log.info("page.disabled", setting="STATUS_PORT")
        return
    await asyncio.sleep(SETTLE_S)
    delay = FIRST_RETRY_S
    while True:
        began = time.monotonic()
        try:
            make = await asyncio.to_thread(_load)  # two tenths of a second, in which heartbeats go on
            await make(settings).serve()
        except Exception as error:  # noqa: BLE001 - whatever it is, pairing and watching go on
            if time.monotonic() - began > STEADY_S:
                delay = FIRST_RETRY_S
            _report(settings, error, delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, LONGEST_RETRY_S)


def _load() -> Maker:
    # Imported late, and only if the page is on: it is a sixth of the process' memory.
    from ccarchiver_health.web.server import StatusServer  # noqa: PLC0415  see above

    return partial(StatusServer, metrics=render_metrics)


async def render_metrics(redis: Redis, settings: Settings) -> tuple[bytes, str]:
    """Render the metrics; what that needs is loaded when somebody asks for the first time."""
    render = await asyncio.to_thread(_load_metrics)
    return await render(redis, settings)


def _load_metrics() -> Metrics:
    from ccarchiver_health.metrics import render  # noqa: PLC0415 - a site without Prometheus does without it

    return render


def _report(settings: Settings, error: Exception, delay: float) -> None:
    """Log why the page is not there, and what to do."""
    where = f"{settings.status_host}:{settings.status_port}"
    port = settings.status_port
    match error:
        case OSError(errno=errno.EADDRINUSE):
            do = f"`ss -ltnp sport = :{port}` shows who has it; free it, or set STATUS_PORT (0: no page) and restart"
            _log.warning("page.port_taken", address=where, remedy=do, again_in_s=delay)
        case OSError():
            do = "STATUS_HOST must be an address of this machine; mend it in the site file and restart"
            _log.warning("page.cannot_listen", address=where, error=str(error), remedy=do, again_in_s=delay)
        case ImportError():
            do = "pip install -r requirements.txt, or STATUS_PORT: 0"
            _log.warning("page.library_missing", error=str(error), remedy=do, again_in_s=delay)
        case _:
            _log.error("page.failed", address=where, again_in_s=delay, exc_info=error)
