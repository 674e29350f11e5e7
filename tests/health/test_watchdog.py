"""The watchdog kills hung workers only; health ends the session of a CSC that stays down."""

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

TIMEOUT_S = 1.1
"""Watchdog timeout in seconds on a free machine; slightly above the minimum of the settings."""

SLEEPER = "import time; time.sleep(600)"
PAIRS = [
    (Worker.HEALTH, Worker.BRIDGE),
    (Worker.HEALTH, Worker.SAL),
    (Worker.BRIDGE, Worker.HEALTH),
]
"""Watcher and watched worker."""


@pytest.fixture(autouse=True)
def _short_poll_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(orphaned_session, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.05)


@contextlib.contextmanager
def process_of(worker: Worker) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that looks like a worker in the process list."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER, f"run_ccarchiver_{worker}"]) as process:
        yield process
        process.kill()


@contextlib.asynccontextmanager
async def watching(
    settings: Settings, watcher: Worker, *watched: Worker
) -> AsyncIterator[WorkerContext]:
    """Run a worker context that publishes its heartbeat and watches other workers."""
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


async def write_heartbeats(redis: Redis, worker: Worker, pid: int, **more: object) -> None:
    beat = Heartbeat(worker=worker, pid=pid, host=socket.gethostname(), written_at=time.time())
    await redis.set(worker.alive, beat.model_copy(update=more).model_dump_json())


async def killed(process: subprocess.Popen[bytes], what: str) -> None:
    """Wait until a process has been killed."""

    async def ended() -> bool:
        return process.poll() is not None

    await eventually(ended, f"the end of {what}")
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("watcher", "watched"), PAIRS)
async def test_worker_with_a_frozen_heartbeat_is_killed(
    fresh_redis: PrivateRedis, watcher: Worker, watched: Worker
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(TIMEOUT_S))
    with process_of(watched) as process:
        async with looking_into(settings) as redis, watching(settings, watcher, watched):
            await write_heartbeats(redis, watched, process.pid)
            await killed(process, "the worker with the frozen heartbeat")

            async def counted() -> bool:
                return await counter(redis, f"watchdog_kills:{watched}") == 1

            await eventually(counted, "the count of watchdog kills")


@pytest.mark.parametrize(("watcher", "watched"), PAIRS)
async def test_worker_with_a_heartbeat_but_no_mailbox_progress_is_killed(
    fresh_redis: PrivateRedis, watcher: Worker, watched: Worker
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(TIMEOUT_S))
    with process_of(watched) as process:
        async with looking_into(settings) as redis, watching(settings, watcher, watched):

            async def gone() -> bool:
                await write_heartbeats(redis, watched, process.pid, mailbox_progress=7)
                return process.poll() is not None

            await eventually(gone, "the hung worker to be killed")


async def test_hung_worker_on_another_host_loses_its_lease(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(TIMEOUT_S), LEASE_TTL=scaled(1.0))
    async with (
        within(LIMIT_S),
        looking_into(settings) as redis,
        watching(settings, Worker.HEALTH, Worker.SAL),
    ):
        monkeypatch.setenv("CCARCHIVER_HOST", "the-other-host")
        hung = WorkerContext(Worker.SAL, settings)
        monkeypatch.delenv("CCARCHIVER_HOST")
        await hung.lease.acquire()
        renewing = asyncio.create_task(hung.lease.renew_forever())

        async def ended() -> bool:
            await write_heartbeats(
                redis, Worker.SAL, os.getpid(), host="the-other-host", mailbox_progress=7
            )
            return renewing.done()

        await eventually(ended, "the hung worker to lose its lease")
        await hung.close()
        assert isinstance(renewing.exception(), FencedError)
        assert await counter(redis, "watchdog_kills:sal") >= 1


async def test_working_worker_and_other_program_are_not_killed(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(TIMEOUT_S))
    with process_of(Worker.BRIDGE) as bridge, process_of(Worker.HEALTH) as other:
        async with (
            looking_into(settings) as redis,
            watching(settings, Worker.HEALTH, Worker.SAL, Worker.BRIDGE),
        ):
            await write_heartbeats(redis, Worker.SAL, other.pid)
            progress, until = 0, time.monotonic() + 1.5 * settings.watchdog_timeout
            while time.monotonic() < until:
                progress += 1
                await write_heartbeats(redis, Worker.BRIDGE, bridge.pid, mailbox_progress=progress)
                await asyncio.sleep(0.05)
            assert bridge.poll() is None
            assert other.poll() is None


async def test_watchdog_kills_no_worker_while_redis_is_read_only(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=scaled(TIMEOUT_S))
    with process_of(Worker.HEALTH) as process:
        async with (
            looking_into(settings) as redis,
            watching(settings, Worker.BRIDGE, Worker.HEALTH) as context,
        ):
            await write_heartbeats(redis, Worker.HEALTH, process.pid)
            await redis.config_set("min-replicas-to-write", 1)
            try:

                async def rejected() -> bool:
                    return not context.heartbeat.is_published

                await eventually(rejected, "the watcher's own heartbeat to be rejected")
                # A late poll can only hide a kill, never cause one.
                await asyncio.sleep(1.4 * settings.watchdog_timeout)
                assert process.poll() is None
            finally:
                await redis.config_set("min-replicas-to-write", 0)
            await killed(process, "the worker whose heartbeat is still missing")


async def test_watchdog_that_was_suspended_restarts_the_timeout_of_the_others(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site(fresh_redis.port, WATCHDOG_TIMEOUT=60)
    with process_of(Worker.HEALTH) as process:
        async with (
            looking_into(settings) as redis,
            watching(settings, Worker.BRIDGE, Worker.HEALTH),
        ):
            await write_heartbeats(redis, Worker.HEALTH, process.pid)
            await asyncio.sleep(0.5)  # some polls
            # The machine is suspended: ten minutes pass between two polls, without heartbeats.
            monotonic = time.monotonic
            monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 600)
            await asyncio.sleep(0.5)  # some polls; fewer can only hide a kill
            assert process.poll() is None


async def test_session_of_a_csc_that_stays_down_ends_and_its_association_key_is_deleted(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, RESUME_WINDOW=0.5)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        session.begin(transaction, "s")
        await context.transactions.apply(transaction)
        await redis.set(settings.association_key, "f99")
        watchdog = Watchdog(context, Worker.SAL)
        tasks = [
            asyncio.create_task(watchdog.run()),
            asyncio.create_task(OrphanedSession(context, watchdog).run()),
        ]

        async def ended() -> bool:
            return not (await read_session(redis)).is_active

        await eventually(ended, "the session to end")
        assert not await redis.exists(settings.association_key)
        for task in tasks:
            await end(task)
