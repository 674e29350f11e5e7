"""The HTTP server of the status page: routes, the event stream and the limit on connections."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from pydantic import BaseModel
from typing_extensions import override

from ccarchiver_core.domain.image_summary import ImageSummary
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.status.ccds import Ccd, ccds_of
from ccarchiver_core.status.timeline import TimelineEntry, timeline
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_health.web import assets
from ccarchiver_health.web.night import RequestError, night_page
from ccarchiver_health.web.security import WRITE_LIMIT_S, add_headers, make_request_check
from ccarchiver_health.web.snapshot import SnapshotReader, Verdict
from ccarchiver_health.web.sse import Broadcaster

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.web.metrics_renderer import MetricsRenderer
    from ccarchiver_health.web.sse import Client

MAX_CONNECTIONS = 64
"""Maximum number of connections.

Browsers and probes need fewer (six each). A process may open far more files.
"""

MAX_READERS = 4
"""Requests that read Redis at once. Others wait."""

MAX_SNAPSHOT_AGE_S = 1.0
"""Maximum age in seconds of the snapshot that a probe gets.

Many probes therefore cost Redis no more than one.
"""

IDLE_S = 15.0
"""Seconds after which an idle connection is closed, so that it does not count towards the limit."""

STOP_LIMIT_S = 1.0
"""Seconds that requests in progress may take when the worker stops."""

RECONNECT_AFTER_MS = 1000
"""Milliseconds after which a browser reconnects a broken stream."""

_log = structlog.get_logger(__name__)


class ImagePage(BaseModel):
    """The JSON document about one image."""

    summary: ImageSummary
    ccds: list[Ccd]
    timeline: list[TimelineEntry]
    waiting_on: str
    target_dir: str


class HealthReport(BaseModel):
    """The JSON document for a probe; `alarms` are those of the page."""

    status: Verdict
    csc: str
    at: float
    """Unix time of the reading, UTC, seconds."""
    alarms: list[dict[str, str]]


class _RejectedConnection(asyncio.Protocol):
    """Closes a connection above the limit at once, without reading a request."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _BoundedSite(web.SockSite):
    """A site on a listening socket that accepts at most `MAX_CONNECTIONS` connections."""

    @override
    async def start(self) -> None:
        await web.BaseSite.start(self)
        handlers = self._runner.server
        if handlers is None:
            raise RuntimeError("the site was started before its runner was set up")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: (
                handlers() if len(handlers.connections) < MAX_CONNECTIONS else _RejectedConnection()
            ),
            sock=self._sock,
        )


class StatusServer:
    """Serves the status page.

    Parameters
    ----------
    settings : `Settings`
        The site's settings; `status_host` and `status_port` are the address of the server.
    metrics : callable, optional
        Renders the metrics, for ``/metrics``.
    """

    def __init__(self, settings: Settings, metrics: MetricsRenderer | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        # A client of its own, so that page and worker do not block each other.
        self._redis = make_client(settings)
        self._reader = SnapshotReader(self._redis, settings)
        self._reading = asyncio.Semaphore(MAX_READERS)
        self.broadcaster = Broadcaster(self._redis, settings, self._reader)
        self._assets = assets.load()
        # aiohttp logs rubbish from a visitor as an error; `make_request_check` logs our own errors.
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            keepalive_timeout=IDLE_S,
            shutdown_timeout=STOP_LIMIT_S,
            handle_signals=False,
        )

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on listening sockets until cancelled."""
        try:
            await self._runner.setup()
            for one in sockets:
                await _BoundedSite(self._runner, one).start()
            await self.broadcaster.run()
        finally:
            self.broadcaster.close()
            await self._runner.cleanup()
            await self._redis.aclose()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[make_request_check(self._settings)])
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/static/{name}", self._asset)
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/api/snapshot", self._snapshot)
        app.router.add_get("/api/image", self._image)
        app.router.add_get("/night", self._night)
        app.router.add_get("/runbook", self._runbook)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._show_metrics)
        return app

    async def _index(self, _request: web.Request) -> web.Response:
        return self._serve_asset(assets.INDEX)

    async def _asset(self, request: web.Request) -> web.Response:
        return self._serve_asset(request.match_info["name"])

    def _serve_asset(self, name: str) -> web.Response:
        asset = self._assets.get(name)
        if asset is None:
            raise web.HTTPNotFound
        return web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        client = self.broadcaster.subscribe()
        if client is None:
            text = f"{self.broadcaster.listening} pages are open, the maximum; close one\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "5"})
        try:
            return await self._stream(request, client)
        except (ConnectionError, TimeoutError) as error:
            # aiohttp would log it as an error if it were raised.
            _log.debug("page.client_gone", error=repr(error))
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        finally:
            self.broadcaster.unsubscribe(client)

    async def _stream(self, request: web.Request, client: Client) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type, response.charset = "text/event-stream", "utf-8"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would hold back the events
        await response.prepare(request)
        await response.write(f"retry: {RECONNECT_AFTER_MS}\n\n".encode())
        while (chunk := await client.next_chunk()) is not None:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await response.write(chunk)
        return response

    async def _snapshot(self, _request: web.Request) -> web.Response:
        async with self._reading:
            return _json(await self._reader.read(MAX_SNAPSHOT_AGE_S))

    async def _image(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        if not name:
            text = "the parameter name is missing: /api/image?name=IMAGE\n"
            return web.Response(status=400, text=text)
        try:
            async with self._reading:
                ledger = ImageLedger(self._redis)
                record = await ledger.read(name)
                summary = next(iter(await ledger.read_summaries([name])), None)
        except UNAVAILABLE_ERRORS:
            return web.Response(status=503, text="Redis does not answer\n")
        if record is None or summary is None:
            return web.Response(status=404, text="no such image in the ledger\n")
        return _json(
            ImagePage(
                summary=summary,
                ccds=ccds_of(record, self._settings),
                timeline=timeline(record, self._settings),
                waiting_on=record.waiting_on(self._settings.files_per_image),
                target_dir=record.target_dir,
            )
        )

    async def _night(self, request: web.Request) -> web.Response:
        try:
            async with self._reading:
                page = await night_page(self._redis, self._settings, request.query)
        except RequestError as error:
            return web.Response(status=400, text=f"{error}\n")
        except UNAVAILABLE_ERRORS:
            return web.Response(status=503, text="Redis does not answer\n")
        return web.Response(text=page, content_type="text/html", charset="utf-8")

    async def _runbook(self, request: web.Request) -> web.Response:
        # In a thread: the first request loads a parser of Markdown and reads the entries.
        page = await asyncio.to_thread(_entry_page, request.query.get("entry", ""))
        if page is None:
            text = "no such entry; runbook?entry=NAME, with the name of an alarm\n"
            return web.Response(status=404, text=text)
        return web.Response(text=page, content_type="text/html", charset="utf-8")

    async def _healthz(self, _request: web.Request) -> web.Response:
        async with self._reading:
            found = await self._reader.read(MAX_SNAPSHOT_AGE_S)
        csc = found.overview.csc.state if found.overview.csc else "unknown"
        alarms = [alarm.model_dump(mode="json") for alarm in found.alarms]
        report = HealthReport(status=found.verdict, csc=csc, at=found.overview.at, alarms=alarms)
        return _json(report, status=503 if found.verdict is Verdict.CRITICAL else 200)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        if self._metrics is None:
            raise web.HTTPNotFound
        async with self._reading:
            body, content_type = await self._metrics(self._redis, self._settings)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _entry_page(name: str) -> str | None:
    from ccarchiver_health.web.runbook import entry_page  # noqa: PLC0415 - seldom needed, 3 MB

    return entry_page(name)


def _json(model: BaseModel, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=model.model_dump_json(), content_type="application/json"
    )
