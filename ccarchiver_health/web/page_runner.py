"""Runner of the status page in the process of the health worker.

Every error of the page is logged, and the page is started again. No error reaches the worker.
"""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ccarchiver_health.web.listening import first_connection, listening

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.web.metrics_renderer import MetricsRenderer
    from ccarchiver_health.web.server import StatusServer

    Maker = Callable[[Settings], StatusServer]

START_DELAY_S = 0.5
"""Delay before the page is loaded, so that pairing and monitoring start first."""

FIRST_RETRY_S = 1.0
"""Delay before the first retry. A previous process that is stopping frees its port by then."""

LONGEST_RETRY_S = 30.0

LIBRARIES = ("aiohttp",)
"""Libraries of the page that are loaded with the first connection, but reported missing before."""

STEADY_S = 60.0
"""Running time of the page after which the retry delay starts at its minimum again."""

_log = structlog.get_logger(__name__)


async def run_page(settings: Settings) -> None:
    """Serve the page until cancelled, and start it again after each error.

    The function returns at once if STATUS_PORT is 0.
    """
    if settings.status_port == 0:
        _log.info("page.disabled", setting="STATUS_PORT")
        return
    await asyncio.sleep(START_DELAY_S)
    delay = FIRST_RETRY_S
    while True:
        began = time.monotonic()
        try:
            await _serve(settings)
        except Exception as error:  # noqa: BLE001 - no error of the page may stop the worker
            if time.monotonic() - began > STEADY_S:
                delay = FIRST_RETRY_S
            _report(settings, error, delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, LONGEST_RETRY_S)


async def _serve(settings: Settings) -> None:
    """Listen, and load and run the server from the first connection on.

    Raises
    ------
    ImportError
        If a library is missing.
    OSError
        If the address cannot be used.
    """
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"No module named {name!r}")
    host, port = settings.status_host, settings.status_port
    async with listening(host, port) as sockets:
        _log.info("page.ready", url=url_of(host, port))
        await first_connection(sockets)
        make = await asyncio.to_thread(_load)  # 0.2 s, which must not delay heartbeats
        await make(settings).serve(sockets)


def url_of(host: str, port: int) -> str:
    """Return the URL of the page."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _load() -> Maker:
    # Imported late, and only for a visitor: it needs a sixth of the process' memory.
    from ccarchiver_health.web.server import StatusServer  # noqa: PLC0415  see above

    return partial(StatusServer, metrics=render_metrics)


async def render_metrics(redis: Redis, settings: Settings) -> tuple[bytes, str]:
    """Return body and content type of the metrics; their modules are loaded on first use."""
    render = await asyncio.to_thread(_load_metrics)
    return await render(redis, settings)


def _load_metrics() -> MetricsRenderer:
    from ccarchiver_health.metrics import render  # noqa: PLC0415 - not every site uses it

    return render


def _report(settings: Settings, error: Exception, delay: float) -> None:
    """Log why the page is not available, and the remedy."""
    where = f"{settings.status_host}:{settings.status_port}"
    port = settings.status_port
    match error:
        case OSError(errno=errno.EADDRINUSE):
            remedy = (
                f"`ss -ltnp sport = :{port}` shows the process that uses it; "
                "free it, or set STATUS_PORT (0: no page) and restart"
            )
            _log.warning("page.port_taken", address=where, remedy=remedy, again_in_s=delay)
        case OSError():
            remedy = "set STATUS_HOST in the site file to an address of this machine, and restart"
            _log.warning(
                "page.cannot_listen",
                address=where,
                error=str(error),
                remedy=remedy,
                again_in_s=delay,
            )
        case ImportError():
            remedy = "pip install -r requirements.txt, or STATUS_PORT: 0"
            _log.warning("page.library_missing", error=str(error), remedy=remedy, again_in_s=delay)
        case _:
            _log.warning("page.failed", address=where, again_in_s=delay, exc_info=error)
