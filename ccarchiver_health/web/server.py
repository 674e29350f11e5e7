"""The HTTP server of the status page: routes, the stream of events, bounds on who is let in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from pydantic import BaseModel
from typing_extensions import override

from ccarchiver_core.redis.client import UNAVAILABLE_ERRORS, make_client
from ccarchiver_core.status.ccds import Ccd, ccds_of
from ccarchiver_core.status.images import ImageSummary, summaries
from ccarchiver_core.status.timeline import TimelineEntry, timeline
from ccarchiver_core.store import ledger
from ccarchiver_health.web import assets
from ccarchiver_health.web.security import add_headers, make_guard
from ccarchiver_health.web.snapshot import SnapshotReader, Verdict
from ccarchiver_health.web.sse import Broadcaster

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.web.page_runner import Metrics
    from ccarchiver_health.web.sse import Client

MAX_CONNECTIONS = 64
"""Above what all browsers and probes need (six each), far below the files a process may open."""

READERS = 4
"""Requests that read Redis at once; the others wait for them."""

FRESH_S = 1.0
"""A probe is content with a reading this old: many probes cost Redis no more than one."""

IDLE_S = 15.0
"""An idle connection is kept this long, so that idle ones do not use up the places."""

WRITE_LIMIT_S = 10.0
"""A browser that takes nothing for so long is let go; it comes back by itself."""

STOP_LIMIT_S = 1.0
"""For requests under way when the worker stops."""

BACK_AFTER_MS = 1000
"""How soon a browser whose stream broke asks again."""

_log = structlog.get_logger(__name__)


class ImagePage(BaseModel):
    """All that is shown of one image."""

    summary: ImageSummary
    ccds: list[Ccd]
    moments: list[TimelineEntry]
    waiting_on: str
    target_dir: str


class HealthReport(BaseModel):
    """What a probe gets; `alarms` as the page has them."""

    status: Verdict
    csc: str
    at: float
    """Unix time of the reading, UTC, seconds."""
    alarms: list[dict[str, str]]


class _Refused(asyncio.Protocol):
    """Ends a connection above the bound at once, without a request being read."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _BoundedSite(web.TCPSite):
    """Listens as any site does, but lets only so many connections in."""

    @override
    async def start(self) -> None:
        await web.BaseSite.start(self)
        handlers = self._runner.server
        if handlers is None:
            raise RuntimeError("the site was started before its runner was set up")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: handlers() if len(handlers.connections) < MAX_CONNECTIONS else _Refused(), self._host, self._port
        )


class StatusServer:
    """Serves the page until it is closed.

    Parameters
    ----------
    settings : `Settings`
        The site's settings; `status_host` and `status_port` say where to listen.
    metrics : callable, optional
        Renders the metrics, for ``/metrics``.
    """

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._redis = make_client(settings)  # its own: the page never waits behind the worker, nor the worker behind it
        self._reader = SnapshotReader(self._redis, settings)
        self._reading = asyncio.Semaphore(READERS)
        self.feed = Broadcaster(self._redis, settings, self._reader)
        self._assets = assets.load()
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            keepalive_timeout=IDLE_S,
            shutdown_timeout=STOP_LIMIT_S,
            handle_signals=False,
        )

    async def serve(self) -> None:
        """Listen and serve until cancelled.

        Raises
        ------
        OSError
            If the address cannot be listened to.
        """
        settings = self._settings
        try:
            await self._runner.setup()
            site = _BoundedSite(self._runner, settings.status_host, settings.status_port)
            await site.start()
            _log.info("page.ready", url=url_of(settings.status_host, settings.status_port))
            await self.feed.run()
        finally:
            self.feed.close()
            await self._runner.cleanup()
            await self._redis.aclose()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[make_guard(self._settings)])
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/static/{name}", self._asset)
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/api/snapshot", self._snapshot)
        app.router.add_get("/api/image", self._image)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._show_metrics)
        return app

    async def _index(self, _request: web.Request) -> web.Response:
        return self._give(assets.INDEX)

    async def _asset(self, request: web.Request) -> web.Response:
        return self._give(request.match_info["name"])

    def _give(self, name: str) -> web.Response:
        asset = self._assets.get(name)
        if asset is None:
            raise web.HTTPNotFound
        return web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        client = self.feed.subscribe()
        if client is None:
            text = f"{self.feed.listening} pages are open, which is as many as there may be; close one\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "5"})
        try:
            return await self._stream(request, client)
        except (ConnectionError, TimeoutError) as error:
            _log.debug("page.client_gone", error=repr(error))
            if request.transport is not None:
                request.transport.abort()
            raise
        finally:
            self.feed.unsubscribe(client)

    async def _stream(self, request: web.Request, client: Client) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type, response.charset = "text/event-stream", "utf-8"
        await response.prepare(request)
        await response.write(f"retry: {BACK_AFTER_MS}\n\n".encode())
        while (chunk := await client.take()) is not None:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await response.write(chunk)
        return response

    async def _snapshot(self, _request: web.Request) -> web.Response:
        async with self._reading:
            return _json(await self._reader.read(FRESH_S))

    async def _image(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        try:
            async with self._reading:
                record = await ledger.read_record(self._redis, name)
                summary = next(iter(await summaries(self._redis, [name])), None)
        except UNAVAILABLE_ERRORS:
            return web.Response(status=503, text="Redis does not answer\n")
        if not record or summary is None:
            return web.Response(status=404, text="no such image in the ledger\n")
        return _json(
            ImagePage(
                summary=summary,
                ccds=ccds_of(record, self._settings),
                moments=timeline(record, self._settings),
                waiting_on=ledger.waiting_on(record, self._settings.files_per_image),
                target_dir=record.get("target_dir", ""),
            )
        )

    async def _healthz(self, _request: web.Request) -> web.Response:
        async with self._reading:
            found = await self._reader.read(FRESH_S)
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


def url_of(host: str, port: int) -> str:
    """Give the page's address as a browser takes it."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _json(model: BaseModel, status: int = 200) -> web.Response:
    return web.Response(status=status, text=model.model_dump_json(), content_type="application/json")
