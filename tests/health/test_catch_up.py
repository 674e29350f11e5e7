"""CATCH_UP: automatic: missed images are archived one at a time, after all live exposures."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import StartIntegration
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage, ReceivedEvent
from ccarchiver_core.domain.session import PairedForwarder, Pairing, Session
from ccarchiver_core.domain.worker_messages import ArchiveMissed
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.reconcile import catch_up
from ccarchiver_health.reconcile.catch_up import CatchUpTask
from ccarchiver_health.reconcile.header_check import find_header
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.core.redis_helpers import holding, messages_in, site
from tests.health.harness import SESSION, entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sim.testbed.brokers import PrivateRedis

DISABLED, ENABLED = 1, 2
HOUR_S = 3600.0
PAIRED = Session(
    id=SESSION,
    is_active=True,
    pairing=Pairing.PAIRED,
    forwarder=PairedForwarder(**entry("f1").model_dump(), presence_key="f1_association"),
)


def start_of(obsid: str) -> StartIntegration:
    """Return the startIntegration of an image."""
    return StartIntegration(
        image_name=obsid,
        image_index=0,
        images_in_sequence=1,
        image_date="20261122",
        exposure_time=1.0,
    )


class CatchUpHarness:
    """The task, and the CSC."""

    def __init__(self, health: WorkerContext, sal: WorkerContext) -> None:
        self.redis = health.redis
        self.session = PAIRED
        self.is_scan_due = False
        self.task = CatchUpTask(health, lambda: self.session, lambda: self.is_scan_due)
        self._sal = sal

    async def apply(self, transaction: Transaction) -> None:
        """Apply a transaction of the CSC."""
        await self._sal.transactions.apply(transaction)

    async def set_csc(self, state: int) -> None:
        """Write the state of the CSC."""
        await self.apply(Transaction().set_fields(keys.CSC, {"state": state}))

    async def miss(self, obsid: str, age_s: float = 60.0, by: MissedBy = MissedBy.SCAN) -> None:
        """Record a missed image."""
        transaction = Transaction()
        ImageLedger.record_missed(transaction, [MissedImage(obsid, time.time() - age_s, by)])
        await self.apply(transaction)

    async def accept(self, obsid: str, job: int) -> None:
        """Record a missed image as accepted."""
        transaction = Transaction()
        events = [start_of(obsid)]
        ImageLedger.accept_missed(transaction, obsid, job=job, session_id=SESSION, events=events)
        await self.apply(transaction)

    async def finish(self, obsid: str) -> None:
        """Record an image as complete."""
        transaction = Transaction()
        ImageLedger.finish(transaction, obsid, ImageState.COMPLETE)
        await self.apply(transaction)

    async def requested(self) -> list[str]:
        """Let the task decide twice, and return the images that it has requested so far."""
        await self.task.poll()
        await self.task.poll()
        messages = await messages_in(self.redis, Worker.SAL)
        return [message.obsid for message in messages if isinstance(message, ArchiveMissed)]


@asynccontextmanager
async def catching_up(redis: PrivateRedis, **changes: object) -> AsyncIterator[CatchUpHarness]:
    """Return the task with an ENABLED CSC and a pairing for the duration of a block."""
    settings = site(redis.port, **{"CATCH_UP": "automatic", **changes})
    async with holding(Worker.HEALTH, settings) as health, holding(Worker.SAL, settings) as sal:
        harness = CatchUpHarness(health, sal)
        await harness.set_csc(ENABLED)
        await harness.apply(
            Transaction().set_fields(keys.SESSION, {"id": SESSION, "is_active": "1"})
        )
        yield harness


async def test_missed_images_are_requested_one_after_another_oldest_first(
    fresh_redis: PrivateRedis,
) -> None:
    async with catching_up(fresh_redis) as harness:
        await harness.miss("second", age_s=60)
        await harness.miss("first", age_s=120)
        await harness.miss("no exposure", age_s=90, by=MissedBy.NUMBERS)
        await harness.miss("too old", age_s=50 * HOUR_S)

        assert await harness.requested() == ["first"]
        await harness.accept("first", 1)
        assert await harness.requested() == ["first"], "it is in progress"
        await harness.finish("first")
        assert await harness.requested() == ["first", "second"]
        await harness.accept("second", 2)
        await harness.finish("second")
        assert await harness.requested() == ["first", "second"]


async def test_image_in_progress_is_checked_more_often_than_new_images_are_sought(
    fresh_redis: PrivateRedis,
) -> None:
    async with catching_up(fresh_redis) as harness:
        idle = harness.task.interval
        await harness.miss("i")

        await harness.requested()
        assert harness.task.interval < idle, "the CSC has not handled the request yet"
        await harness.accept("i", 1)
        await harness.requested()
        assert harness.task.interval < idle, "it is in progress"
        await harness.finish("i")
        await harness.requested()
        assert harness.task.interval == idle


@pytest.mark.parametrize(
    ("mode", "expected"), [("report", ["named", "number"]), ("automatic", ["named", "number", "i"])]
)
async def test_images_that_an_operator_has_named_come_first(
    fresh_redis: PrivateRedis, mode: str, expected: list[str]
) -> None:
    async with catching_up(fresh_redis, CATCH_UP=mode) as harness:
        await harness.miss("i", age_s=120)
        await harness.miss("named")
        await harness.miss("number", by=MissedBy.NUMBERS)
        transaction = Transaction()
        ImageLedger.request_catch_up(transaction, ["named", "number"])
        await harness.apply(transaction)

        for job, obsid in enumerate(expected, start=1):
            assert await harness.requested() == expected[:job]
            await harness.accept(obsid, job)
            await harness.finish(obsid)
        assert await harness.requested() == expected


async def test_request_that_the_csc_has_not_handled_is_repeated(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "ACCEPTED_WITHIN_S", 0.0)
    async with catching_up(fresh_redis) as harness:
        await harness.miss("i")

        assert await harness.requested() == ["i", "i"]


@pytest.mark.parametrize("obstacle", ["setting", "CSC", "pairing", "live exposure", "scan"])
async def test_missed_image_waits(fresh_redis: PrivateRedis, obstacle: str) -> None:
    mode = "report" if obstacle == "setting" else "automatic"
    async with catching_up(fresh_redis, CATCH_UP=mode) as harness:
        await harness.miss("i")
        if obstacle == "CSC":
            await harness.set_csc(DISABLED)
        elif obstacle == "pairing":
            harness.session = Session()
        elif obstacle == "scan":
            harness.is_scan_due = True
        elif obstacle == "live exposure":
            transaction = Transaction()
            received = ReceivedEvent("live", 1, SESSION, start_of("live"), time.time())
            ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=True)
            await harness.apply(transaction)

        assert await harness.requested() == []


async def serve(request: web.Request) -> web.Response:
    """Return a header for one image."""
    return web.Response(status=200 if request.path == "/20261122/CC_O_20261122_1.yaml" else 404)


async def test_header_is_used_if_one_request_finds_it() -> None:
    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    port, unused = free_port(), free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        template = f"http://{LOOPBACK}:{port}/{{day_obs}}/{{obsid}}.yaml"
        settings = site(1, HEADER_URL_TEMPLATE=template)
        found = f"http://{LOOPBACK}:{port}/20261122/CC_O_20261122_1.yaml"
        assert await find_header(settings, "CC_O_20261122_1") == found
        assert await find_header(settings, "CC_O_20261122_2") == ""
        down = site(1, HEADER_URL_TEMPLATE=template.replace(str(port), str(unused)))
        assert await find_header(down, "CC_O_20261122_1") == ""
        assert await find_header(site(1), "CC_O_20261122_1") == ""
    finally:
        await runner.cleanup()
