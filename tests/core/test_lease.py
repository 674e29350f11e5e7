from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.base.errors import FencedError, LeaseHeldError
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime import lease as lease_module
from ccarchiver_core.runtime.lease import STANDBY_POLL_S, Lease
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_core.store.transaction_pipeline import TransactionPipeline
from ccarchiver_sim.pace import scaled, within
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.lossy_proxy import lossy_proxy
from tests.core.redis_helpers import LIMIT_S, counter, end, eventually, holding, looking_into, site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SINCE = "2026-11-22T08:18:37Z"


def held_by(pid: int, host: str | None = None) -> str:
    return json.dumps({"host": host or socket.gethostname(), "pid": pid, "since": SINCE})


@contextmanager
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_second_instance_gets_a_lease_held_error_that_names_the_holder(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        with another_process() as other:
            await redis.set(Worker.BRIDGE.lease, held_by(other.pid), px=60_000)
            context = WorkerContext(Worker.BRIDGE, settings)

            with pytest.raises(LeaseHeldError) as caught:
                await context.lease.acquire()

            await context.close()
            text = str(caught.value)
            assert f"pid {other.pid} on {socket.gethostname()} since {SINCE}" in text
            assert "supervisorctl stop ccarchiver:bridge" in text
            assert context.transactions.fencing_token is None
            assert await redis.get(Worker.BRIDGE.lease) == held_by(other.pid).encode(), (
                "the rejected instance released it"
            )


async def test_lease_of_a_dead_process_on_this_host_is_taken_over_immediately(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    with another_process() as other:
        pid = other.pid
    async with looking_into(settings) as redis:
        await redis.set(Worker.SAL.lease, held_by(pid), px=600_000)

        async with within(LIMIT_S), holding(Worker.SAL, settings) as context:
            assert await context.transactions.apply(Transaction().count("n")) is Outcome.APPLIED


async def test_lease_of_another_host_is_respected_if_its_pid_is_free_here(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    with another_process() as other:
        pid = other.pid
    async with looking_into(settings) as redis:
        await redis.set(Worker.SAL.lease, held_by(pid, "some-other-host"), px=600_000)
        context = WorkerContext(Worker.SAL, settings)

        with pytest.raises(LeaseHeldError, match="some-other-host"):
            await context.lease.acquire()

        await context.close()


async def test_standby_takes_over_when_the_active_instance_ends(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, STANDBY=True)
    async with looking_into(settings) as redis:
        await redis.set(Worker.SAL.lease, held_by(os.getpid(), "the-other-host"), px=600_000)
        await redis.set(Worker.SAL.fencing_token, 7)
        standby = WorkerContext(Worker.SAL, settings)
        waiting = asyncio.create_task(standby.lease.acquire())
        await asyncio.wait({waiting}, timeout=3 * STANDBY_POLL_S)
        assert not waiting.done()
        assert await redis.get(Worker.SAL.fencing_token) == b"7", (
            "the waiting standby fenced the active instance"
        )

        await redis.delete(Worker.SAL.lease)  # as Redis does when the lease is not renewed

        async with within(LIMIT_S):
            await waiting
        assert standby.transactions.fencing_token == 8
        await standby.close()


@pytest.mark.parametrize("redis_hangs", [False, True])
@pytest.mark.processes
async def test_lease_that_expired_in_a_redis_outage_is_left_to_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, redis_hangs: bool
) -> None:
    """Here the standby reconnects before the holder, and must not take over the session."""
    monkeypatch.setattr(lease_module, "STALE_POLL_S", 3 * STANDBY_POLL_S)
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port, STANDBY=True, LEASE_TTL=scaled(1.0))
        active = WorkerContext(Worker.SAL, settings)
        monkeypatch.setenv("CCARCHIVER_HOST", "the-other-host")
        standby = WorkerContext(Worker.SAL, settings)
        async with within(LIMIT_S), looking_into(settings) as redis:
            await active.lease.acquire()
            waiting = asyncio.create_task(standby.lease.acquire())
            await eventually(lambda: redis.exists(Worker.SAL.standby), "the standby")
            with unavailable(server, hangs=redis_hangs):
                await asyncio.sleep(4 * STANDBY_POLL_S + settings.lease_ttl)

            await eventually(lambda: has_noticed_outage(standby), "the standby to find Redis again")
            assert not await redis.exists(Worker.SAL.lease)
            renewing = asyncio.create_task(active.lease.renew_forever())
            await eventually(lambda: redis.exists(Worker.SAL.lease), "the holder's renewal")
            assert await redis.get(Worker.SAL.fencing_token) == b"1", "the standby took the lease"

            await end(renewing)  # the holder dies much later: now the standby takes over
            standby.lease._not_before = 0.0
            await waiting
            assert standby.transactions.fencing_token == 2
        await active.close()
        await standby.close()


@contextmanager
def unavailable(server: PrivateRedis, *, hangs: bool) -> Iterator[None]:
    """Make Redis unavailable for the duration of a block: stop its process or suspend it."""
    if hangs:
        os.kill(server.pid, signal.SIGSTOP)
    else:
        server.stop()
    try:
        yield
    finally:
        if hangs:
            os.kill(server.pid, signal.SIGCONT)
        else:
            server.start()


async def has_noticed_outage(standby: WorkerContext) -> bool:
    """Return whether a standby has noticed the Redis outage, or has the lease."""
    return standby.lease._not_before > 0 or standby.transactions.fencing_token is not None


async def test_acquire_succeeds_after_the_reply_to_it_was_lost(fresh_redis: PrivateRedis) -> None:
    async with lossy_proxy(fresh_redis.port) as proxy:
        settings = site(proxy.port)
        async with holding(Worker.HEALTH, settings):
            pass  # Redis has cached the script from here on
        proxy.lose_reply_to(b"EVALSHA")

        async with within(LIMIT_S), holding(Worker.HEALTH, settings) as context:
            assert proxy.lost == 1
            assert context.transactions.fencing_token == 2
            assert await context.transactions.apply(Transaction().count("n")) is Outcome.APPLIED


async def test_each_holder_has_a_larger_fencing_token_than_the_previous_one(
    fresh_redis: PrivateRedis,
) -> None:
    settings, tokens = site(fresh_redis.port), list[int | None]()
    for _ in range(3):
        async with holding(Worker.SAL, settings) as context:
            tokens.append(context.transactions.fencing_token)

    assert tokens == [1, 2, 3]


async def test_process_with_the_same_pid_and_start_second_is_another_holder(
    fresh_redis: PrivateRedis,
) -> None:
    """With the same fencing token, the second container's transactions would count as applied."""
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        pipelines = [TransactionPipeline(redis, Worker.SAL), TransactionPipeline(redis, Worker.SAL)]
        for transactions in pipelines:
            await Lease(redis, Worker.SAL, transactions, ttl=15).acquire()
            await transactions.apply(Transaction().count("n"))

        assert [transactions.fencing_token for transactions in pipelines] == [1, 2]
        assert await counter(redis, "n") == 2


async def test_holder_that_was_frozen_past_its_lease_is_fenced(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    frozen = WorkerContext(Worker.SAL, settings)
    async with looking_into(settings) as redis:
        await frozen.lease.acquire()
        await redis.delete(Worker.SAL.lease)  # as if it had expired while the holder was frozen
        async with holding(Worker.SAL, settings) as successor:
            with pytest.raises(FencedError):
                await frozen.transactions.apply(Transaction().count("by the frozen one"))
            async with within(LIMIT_S):
                with pytest.raises(FencedError, match="another instance has acquired the lease"):
                    await frozen.lease.renew_forever()
            assert (
                await successor.transactions.apply(Transaction().count("by the successor"))
                is Outcome.APPLIED
            )
        assert await counter(redis, "by the frozen one") == 0
        assert await counter(redis, "by the successor") == 1
    await frozen.close()


async def test_renewed_lease_outlives_its_ttl(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, LEASE_TTL=scaled(3))  # more than the process may be stalled
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        renewing = asyncio.create_task(context.lease.renew_forever())
        until = time.monotonic() + 1.3 * settings.lease_ttl
        while time.monotonic() < until:
            await asyncio.sleep(0.1)
            assert await redis.exists(Worker.SAL.lease)
        await end(renewing)


@pytest.mark.processes
async def test_lease_that_expired_in_an_outage_is_renewed_if_it_is_free(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port, LEASE_TTL=scaled(0.5))
        async with holding(Worker.SAL, settings) as context:
            renewing = asyncio.create_task(context.lease.renew_forever())
            server.stop()
            await asyncio.sleep(1.2 * settings.lease_ttl)
            server.start()

            async with within(LIMIT_S):
                assert await context.transactions.apply(Transaction().count("n")) is Outcome.APPLIED
                async with looking_into(settings) as redis:
                    await eventually(lambda: redis.exists(Worker.SAL.lease), "the lease")
            assert not renewing.done()
            await end(renewing)


async def test_release_frees_the_holders_own_lease_only(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        async with holding(Worker.SAL, settings) as context:
            await redis.set(Worker.SAL.lease, held_by(os.getppid()))
            await context.lease.release()
            assert await redis.get(Worker.SAL.lease) == held_by(os.getppid()).encode()
            await redis.delete(Worker.SAL.lease)
        async with holding(Worker.SAL, settings):
            assert await redis.exists(Worker.SAL.lease)
        assert not await redis.exists(Worker.SAL.lease)


async def test_leases_of_the_three_workers_are_independent(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with (
        holding(Worker.SAL, settings),
        holding(Worker.BRIDGE, settings),
        holding(Worker.HEALTH, settings),
    ):
        pass
