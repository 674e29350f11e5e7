"""A hung worker is ended, one of another name is not, and the session of a CSC that stays away is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.base.errors import FencedError
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime import heartbeat, watchdog
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.runtime.watchdog import Watchdog
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.store import session
from ccarchiver_core.store.session import read_session
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health import orphaned_session
from ccarchiver_health.orphaned_session import OrphanedSession
from ccarchiver_sim.pace import scaled, within
from tests.core.redis_helpers import LIMIT_S, counter, end, eventually, holding, looking_into, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_sim.testbed.brokers import PrivateRedis

HUNG_AFTER_S = 1.1
"""Seconds on a free machine; just above the shortest that the settings allow."""

SLEEPER = "import time; time.sleep(600)"
PAIRS = [(Worker.HEALTH, Worker.BRIDGE), (Worker.HEALTH, Worker.SAL), (Worker.BRIDGE, Worker.HEALTH)]
"""Who watches whom."""


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(orphaned_session, "LOOK_INTERVAL", 0.05)
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.05)


@contextlib.contextmanager
def process_of(worker: Worker) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a worker in the process list."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER, f"run_ccarchiver_{worker}"]) as process:
        yield process
        process.kill()


@contextlib.asynccontextmanager
async def watching(settings: Settings, watcher: Worker, *watched: Worker) -> AsyncIterator[WorkerContext]:
    """Be a worker that lives and watches others."""
    async with holding(watcher, settings) as context:
        tasks = [
            asyncio.create_task(context.heartbeat.publish()),
            asyncio.create_task(Watchdog(context, *watched).run()),
        ]
        try:
            yield context
        finally:
            for task in tasks:
                await end(task)


async def show_life(redis: Redis, worker: Worker, pid: int, **more: object) -> None:
    signs = Heartbeat(worker=worker, pid=pid, host=socket.gethostname(), written_at=time.time())
    await redis.set(worker.alive, signs.model_copy(update=more).model_dump_json())


async def killed(process: subprocess.Popen[bytes], what: str) -> None:
    """Wait until a process has been killed."""

    async def ended() -> bool:
        return process.poll() is not None

    await eventually(ended, f"the end of {what}")
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("watcher", "watched"), PAIRS)
async def test_a_worker_whose_heartbeat_stands_still_is_killed(
    fresh_redis: PrivateRedis, watcher: Worker, watched: Worker
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(HUNG_AFTER_S))
    with process_of(watched) as process:
        async with looking_into(settings) as redis, watching(settings, watcher, watched):
            await show_life(redis, watched, process.pid)
            await killed(process, "the worker whose heartbeat stands still")

            async def counted() -> bool:
                return await counter(redis, f"watchdog_kills:{watched}") == 1

            await eventually(counted, "the count of workers ended")


@pytest.mark.parametrize(("watcher", "watched"), PAIRS)
async def test_a_worker_that_beats_but_reads_no_mail_is_killed(
    fresh_redis: PrivateRedis, watcher: Worker, watched: Worker
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(HUNG_AFTER_S))
    with process_of(watched) as process:
        async with looking_into(settings) as redis, watching(settings, watcher, watched):

            async def gone() -> bool:
                await show_life(redis, watched, process.pid, mailbox_progress=7)
                return process.poll() is not None

            await eventually(gone, "the stuck worker to be killed")


async def test_one_that_hangs_on_the_other_host_loses_its_lease(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(HUNG_AFTER_S), LEASE_TTL=scaled(1.0))
    async with within(LIMIT_S), looking_into(settings) as redis, watching(settings, Worker.HEALTH, Worker.SAL):
        monkeypatch.setenv("CCARCHIVER_HOST", "the-other-host")
        stuck = WorkerContext(Worker.SAL, settings)
        monkeypatch.delenv("CCARCHIVER_HOST")
        await stuck.lease.acquire()
        keeping = asyncio.create_task(stuck.lease.renew_forever())

        async def ended() -> bool:
            await show_life(redis, Worker.SAL, os.getpid(), host="the-other-host", mailbox_progress=7)
            return keeping.done()

        await eventually(ended, "the stuck worker to be told")
        await stuck.close()
        assert isinstance(keeping.exception(), FencedError)
        assert await counter(redis, "watchdog_kills:sal") >= 1


async def test_one_that_works_and_one_that_is_another_program_are_left_alone(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(HUNG_AFTER_S))
    with process_of(Worker.BRIDGE) as bridge, process_of(Worker.HEALTH) as other:
        async with looking_into(settings) as redis, watching(settings, Worker.HEALTH, Worker.SAL, Worker.BRIDGE):
            await show_life(redis, Worker.SAL, other.pid)
            reads, until = 0, time.monotonic() + 1.5 * settings.watchdog_timeout
            while time.monotonic() < until:
                reads += 1
                await show_life(redis, Worker.BRIDGE, bridge.pid, mailbox_progress=reads)
                await asyncio.sleep(0.05)
            assert bridge.poll() is None
            assert other.poll() is None


async def test_two_that_watch_each_other_do_not_end_each_other_while_redis_read_only(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(HUNG_AFTER_S))
    with process_of(Worker.HEALTH) as process:
        async with looking_into(settings) as redis, watching(settings, Worker.BRIDGE, Worker.HEALTH) as context:
            await show_life(redis, Worker.HEALTH, process.pid)
            await redis.config_set("min-replicas-to-write", 1)
            try:

                async def refused() -> bool:
                    return not context.heartbeat.is_published

                await eventually(refused, "the watcher's own beat to be refused")
                await asyncio.sleep(
                    1.4 * settings.watchdog_timeout
                )  # a late look can only hide a kill, never cause one
                assert process.poll() is None
            finally:
                await redis.config_set("min-replicas-to-write", 0)
            await killed(process, "the worker that shows no life now either")


async def test_a_watcher_that_stood_still_itself_gives_the_others_their_full_time_again(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=60)
    with process_of(Worker.HEALTH) as process:
        async with looking_into(settings) as redis, watching(settings, Worker.BRIDGE, Worker.HEALTH):
            await show_life(redis, Worker.HEALTH, process.pid)
            await asyncio.sleep(0.5)  # some looks
            # The machine's pause: ten minutes pass between two looks, and nobody beat in them.
            monotonic = time.monotonic
            monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 600)
            await asyncio.sleep(0.5)  # some looks; fewer can only hide a kill
            assert process.poll() is None


async def test_the_session_of_a_csc_that_stays_away_is_ended_with_its_association_key(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, RESUME_WINDOW=0.5)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        session.begin(transaction, "s")
        await context.transactions.apply(transaction)
        await redis.set(settings.association_key, "f99")
        watch = Watchdog(context, Worker.SAL)
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(OrphanedSession(context, watch).run())]

        async def ended() -> bool:
            return not (await read_session(redis)).is_active

        await eventually(ended, "the session to end")
        assert not await redis.exists(settings.association_key)
        for task in tasks:
            await end(task)
