"""The status page on a real Redis, and somebody who visits it."""

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
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.store import ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.web.server import StatusServer
from ccarchiver_sim.pace import Deadline, within
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.core.redis_helpers import LIMIT_S, end, eventually, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_health.web.page_runner import Metrics

VITALS_MS = 600_000
"""Longer than any test."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        """The body of a JSON answer."""
        return cast("dict[str, Any]", json.loads(self.text))


class WebClient:
    """Asks the page as a browser or a probe does."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self.settings = settings
        self.session = session
        self.url = f"http://{LOOPBACK}:{settings.status_port}"

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask once; the path goes as it is, dots and all."""
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.text())

    async def answers(self) -> bool:
        """Tell whether the page is there."""
        try:
            return (await self.ask("/")).status == 200
        except aiohttp.ClientError:
            return False

    async def is_gone(self) -> bool:
        """Tell whether nobody listens there."""
        return not await self.answers()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Stream]:
        """Listen to the events for the time of a block."""
        async with self.session.get(f"{self.url}/events") as answer:
            yield Stream(answer)


class Stream:
    """Server-sent events as they come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Give the next event: its name, and its data."""
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
        """Give the next snapshot."""
        while True:
            name, data = await self.next()
            if name == "snapshot":
                return data

    async def beat(self) -> dict[str, Any]:
        """Give the next beat."""
        while True:
            name, data = await self.next()
            if name == "beat":
                return data

    async def snapshot_with(self, what: str, path: str, wanted: object) -> dict[str, Any]:
        """Wait for a snapshot in which the value at a dotted path is the wanted one."""
        deadline = Deadline(LIMIT_S)
        seen: object = None
        while not deadline.has_passed():
            seen = found = await self.snapshot()
            for step in path.split("."):
                seen = _below(seen, step)
            if seen == wanted:
                return found
        raise AssertionError(f"{what} did not come; {path} was {seen!r} last")


def _below(value: object, step: str) -> object:
    """Go one step down; to nothing where there is nothing yet."""
    if isinstance(value, list):
        return value[int(step)] if int(step) < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def page_site(port: int, **changes: object) -> Settings:
    """Give the settings of a site with a status page on a port of its own."""
    return site(port, **{"STATUS_PORT": free_port(), **changes})


@asynccontextmanager
async def visiting(settings: Settings) -> AsyncIterator[WebClient]:
    """Be a visitor for the time of a block, of a page somebody else serves."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:  # a hang ends the test
        yield WebClient(settings, session)


@asynccontextmanager
async def served(settings: Settings, metrics: Metrics | None = None) -> AsyncIterator[tuple[StatusServer, WebClient]]:
    """Serve the page for the time of a block."""
    server = StatusServer(settings, metrics)
    task = asyncio.create_task(server.serve())
    try:
        async with visiting(settings) as client:
            await eventually(client.answers, f"the page at {client.url}; its task: {task}")
            yield server, client
    finally:
        await end(task)


async def show_life(redis: Redis, *workers: Worker, state: str = "at work") -> None:
    """Have workers show life."""
    for worker in workers or tuple(Worker):
        heartbeat = Heartbeat(worker=worker, pid=1, state=state, written_at=time.time())
        await redis.set(worker.alive, heartbeat.model_dump_json(), px=VITALS_MS)


async def be_in(redis: Redis, state: int, error_code: int = 0, report: str = "") -> None:
    """Have the CSC be in a state (its number on SAL)."""
    fields = {"state": state, "error_code": error_code, "error_report": report, "alive_at": time.time()}
    for name, value in fields.items():
        await redis.hset(keys.CSC, name, str(value))


async def accept(context: WorkerContext, obsid: str, job: int = 1) -> None:
    """Have an image in the ledger, just accepted."""
    start = StartIntegration(image_name=obsid, image_index=0, images_in_sequence=1, image_date="d", exposure_time=1.0)
    step = Transaction()
    ledger.record_event(
        step, ledger.ReceivedEvent(obsid, job, "s", start, time.time()), ImageState.ACCEPTED, is_new=True
    )
    await context.transactions.apply(step)
