"""A hung worker is ended, one of another name is not, and the session of a CSC that stays away is ended."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import session
from ccarchiver_core.keys import Worker
from ccarchiver_core.session import read_session
from ccarchiver_core.step import Step
from ccarchiver_core.vitals import Vitals
from ccarchiver_health import workers
from ccarchiver_health.workers import WorkerWatch
from tests.core.place import LIMIT_S, counter, end, eventually, holding, looking_into, site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_sim.brokers import PrivateRedis

SLEEPER = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LOOK_INTERVAL", 0.05)


@pytest.fixture
def bridge_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a bridge in the process list."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER, "run_ccarchiver_bridge"]) as process:
        yield process
        process.kill()


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no worker."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER]) as process:
        yield process
        process.kill()


async def show_life(redis: Redis, worker: Worker, pid: int, **more: object) -> None:
    vitals = Vitals(worker=worker, pid=pid, host=socket.gethostname(), beat=time.time())
    await redis.set(worker.alive, vitals.model_copy(update=more).model_dump_json())


async def test_a_worker_whose_heartbeat_stands_still_is_killed(
    fresh_redis: PrivateRedis, bridge_process: subprocess.Popen[bytes]
) -> None:
    settings = site(fresh_redis.port, HUNG_AFTER=0.5)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        await show_life(redis, Worker.BRIDGE, bridge_process.pid)
        watch = asyncio.create_task(WorkerWatch(context).run())
        assert await asyncio.to_thread(bridge_process.wait, LIMIT_S) < 0

        async def counted() -> bool:
            return await counter(redis, "workers_hung:bridge") == 1

        await eventually(counted, "the count of workers ended")
        await end(watch)


async def test_a_worker_that_beats_but_reads_no_mail_is_killed(
    fresh_redis: PrivateRedis, bridge_process: subprocess.Popen[bytes]
) -> None:
    settings = site(fresh_redis.port, HUNG_AFTER=0.5)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        watch = asyncio.create_task(WorkerWatch(context).run())

        async def gone() -> bool:
            await show_life(redis, Worker.BRIDGE, bridge_process.pid, mailbox_reads=7)
            return bridge_process.poll() is not None

        await eventually(gone, "the stuck bridge to be killed")
        await end(watch)


async def test_one_that_works_and_one_that_is_another_program_are_left_alone(
    fresh_redis: PrivateRedis, bridge_process: subprocess.Popen[bytes], other_process: subprocess.Popen[bytes]
) -> None:
    settings = site(fresh_redis.port, HUNG_AFTER=0.5)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        watch = asyncio.create_task(WorkerWatch(context).run())
        await show_life(redis, Worker.SAL, other_process.pid)
        for reads in range(30):  # longer than HUNG_AFTER
            await show_life(redis, Worker.BRIDGE, bridge_process.pid, mailbox_reads=reads)
            await asyncio.sleep(0.05)
        assert bridge_process.poll() is None
        assert other_process.poll() is None
        await end(watch)


async def test_the_session_of_a_csc_that_stays_away_is_ended_with_its_association_key(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, RESUME_WINDOW=0.5)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        step = Step()
        session.begin(step, "s")
        await context.runner.apply(step)
        await redis.set(settings.association_key, "f99")
        watch = asyncio.create_task(WorkerWatch(context).run())

        async def ended() -> bool:
            return not (await read_session(redis)).wanted

        await eventually(ended, "the session to end")
        assert not await redis.exists(settings.association_key)
        await end(watch)
