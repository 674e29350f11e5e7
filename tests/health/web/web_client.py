"""The status page on a real Redis, and an HTTP client for it."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from yarl import URL

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import StartIntegration
from ccarchiver_core.domain.image_record import ImageState, ReceivedEvent
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.web.listening import listening
from ccarchiver_health.web.server import StatusServer
from ccarchiver_sim.pace import Deadline, within
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.core.redis_helpers import LIMIT_S, end, eventually, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_health.web.metrics_renderer import MetricsRenderer

HEARTBEAT_MS = 600_000
"""Lifetime of heartbeats: longer than any test."""


@dataclass(frozen=True)
class Answer:
    """Response of the page."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        """The body of a JSON response."""
        return cast("dict[str, Any]", json.loads(self.text))


class WebClient:
    """Requests the page as a browser or a probe does."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self.settings = settings
        self.session = session
        self.url = f"http://{LOOPBACK}:{settings.status_port}"

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send one request; the path is sent unchanged, including dots."""
        url = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False
        ) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.text())

    async def answers(self) -> bool:
        """Return whether the page answers."""
        try:
            return (await self.ask("/")).status == 200
        except aiohttp.ClientError:
            return False

    async def is_gone(self) -> bool:
        """Return whether the page does not answer."""
        return not await self.answers()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Stream]:
        """Subscribe to the events for the duration of a block."""
        async with self.session.get(f"{self.url}/events") as answer:
            yield Stream(answer)


class Stream:
    """Stream of server-sent events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Return the name and data of the next event."""
        name = ""
        async with within(LIMIT_S):
            while True:
                line = (await self.answer.content.readline()).decode()
                assert line, "the stream has ended"
                field, _, value = line.rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    return name, json.loads(value)

    async def snapshot(self) -> dict[str, Any]:
        """Return the next snapshot."""
        while True:
            name, data = await self.next()
            if name == "snapshot":
                return data

    async def tick(self) -> dict[str, Any]:
        """Return the next tick."""
        while True:
            name, data = await self.next()
            if name == "tick":
                return data

    async def snapshot_with(self, what: str, path: str, wanted: object) -> dict[str, Any]:
        """Wait for a snapshot with an expected value at a dotted path."""
        deadline = Deadline(LIMIT_S)
        seen: object = None
        while not deadline.has_passed():
            seen = found = await self.snapshot()
            for part in path.split("."):
                seen = _below(seen, part)
            if seen == wanted:
                return found
        raise AssertionError(f"no {what}; the last value of {path} was {seen!r}")


def _below(value: object, part: str) -> object:
    """Return the value of one part of the path; None if it is missing."""
    if isinstance(value, list):
        return value[int(part)] if int(part) < len(value) else None
    return value.get(part) if isinstance(value, dict) else None


def page_site(port: int, **changes: object) -> Settings:
    """Return the settings of a site with a status page on its own port."""
    return site(port, **{"STATUS_PORT": free_port(), **changes})


@asynccontextmanager
async def visiting(settings: Settings) -> AsyncIterator[WebClient]:
    """Open a client for the duration of a block, for a page that runs elsewhere."""
    # No timeout here: pytest ends a test that hangs.
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        yield WebClient(settings, session)


async def _serve(server: StatusServer, settings: Settings) -> None:
    async with listening(settings.status_host, settings.status_port) as sockets:
        await server.serve(sockets)


@asynccontextmanager
async def served(
    settings: Settings, metrics: MetricsRenderer | None = None
) -> AsyncIterator[tuple[StatusServer, WebClient]]:
    """Serve the page for the duration of a block."""
    server = StatusServer(settings, metrics)
    task = asyncio.create_task(_serve(server, settings))
    try:
        async with visiting(settings) as client:
            await eventually(client.answers, f"the page at {client.url}; its task: {task}")
            yield server, client
    finally:
        await end(task)


async def write_heartbeats(redis: Redis, *workers: Worker, state: str = "at work") -> None:
    """Write heartbeats of workers."""
    for worker in workers or tuple(Worker):
        heartbeat = Heartbeat(worker=worker, pid=1, state=state, written_at=time.time())
        await redis.set(worker.alive, heartbeat.model_dump_json(), px=HEARTBEAT_MS)


async def write_csc_state(redis: Redis, state: int, error_code: int = 0, report: str = "") -> None:
    """Write the CSC's summary state, as its number on SAL."""
    fields = {
        "state": state,
        "error_code": error_code,
        "error_report": report,
        "alive_at": time.time(),
    }
    for name, value in fields.items():
        await redis.hset(keys.CSC, name, str(value))


async def accept(context: WorkerContext, obsid: str, job: int = 1) -> None:
    """Write a newly accepted image to the ledger."""
    start = StartIntegration(
        image_name=obsid, image_index=0, images_in_sequence=1, image_date="d", exposure_time=1.0
    )
    transaction = Transaction()
    ImageLedger.record_event(
        transaction,
        ReceivedEvent(obsid, job, "s", start, time.time()),
        ImageState.ACCEPTED,
        is_new=True,
    )
    await context.transactions.apply(transaction)
