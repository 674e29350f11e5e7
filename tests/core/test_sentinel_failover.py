"""Each kind of connection follows a failover, however it happens, and never uses a former master.

The servers are real: a master, two replicas and three Sentinels.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.replies import text
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.status import overview
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_sim.pace import scaled, within
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.brokers.redis_group import RedisGroup
from tests.core.redis_helpers import LIMIT_S, counter, end, holding, looking_into

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from ccarchiver_core.runtime.worker import WorkerContext

pytestmark = [pytest.mark.processes]

FOLLOW_S = 2.0
"""Seconds after the promotion within which each connection must have followed."""

PAUSE_S = 0.02
"""Seconds between two operations of one kind."""

LINK = " flags=M "
"""What CLIENT LIST prints for a replica's connection to its master, which uses any database."""

OLD, NEW = b"old", b"new"
SERVER = "test:server"
"""A key whose value differs between the former master and the new one."""


@dataclass
class Log:
    """Times at which operations succeeded, by kind of connection."""

    succeeded: dict[str, list[float]] = field(default_factory=dict)
    confirmed: int = 0
    """Number of confirmed transactions."""
    stale: list[str] = field(default_factory=list)
    """Kinds that read the former master after the promotion."""

    def note(self, kind: str) -> None:
        """Note that an operation of a kind has succeeded."""
        self.succeeded.setdefault(kind, []).append(time.monotonic())


@pytest.fixture
def group(tmp_path: Path) -> Iterator[RedisGroup]:
    """Start a master, two replicas and three Sentinels."""
    with RedisGroup(tmp_path) as servers:
        yield servers


@pytest.mark.parametrize(
    "fail",
    [
        RedisGroup.kill_master,
        pytest.param(RedisGroup.freeze_master, marks=pytest.mark.extended),
        pytest.param(RedisGroup.replace_master, marks=pytest.mark.extended),
    ],
)
async def test_each_kind_of_connection_follows_and_nothing_is_lost(
    group: RedisGroup, fail: Callable[[RedisGroup], Awaitable[None]]
) -> None:
    await group.wait_ready()
    settings = Settings.model_validate(group.addresses)
    log = Log()
    async with within(3 * LIMIT_S), holding(Worker.BRIDGE, settings) as context:
        async with looking_into(settings) as page:
            await page.set(SERVER, OLD)
            tasks = [
                asyncio.create_task(work)
                for work in (
                    context.lease.renew_forever(),
                    context.heartbeat.publish(),
                    send(context, log),
                    receive(context, log),
                    pooled(context.redis, log),
                    transient(settings, log),
                    status_page(page, settings, log),
                )
            ]
            await asyncio.sleep(scaled(0.5))
            await fail(group)
            promoted_at = time.monotonic()
            master = Settings.model_validate({"REDIS_PORT": await group.master_port()})
            async with looking_into(master) as redis:
                await redis.set(SERVER, NEW)
            await asyncio.sleep(scaled(FOLLOW_S))
            log.stale.clear()  # until then, the former master was possibly read before the end
            if not group.first.is_running:
                group.first.start()
            assert await uses_former_master(group, settings) == []
            await asyncio.sleep(scaled(0.5))
            for task in tasks[2:]:
                await end(task)
            assert not tasks[0].done(), "the lease was lost"
            for task in tasks[:2]:
                await end(task)

        for kind, times in log.succeeded.items():
            after = min(at for at in times if at > promoted_at) - promoted_at
            assert after < scaled(FOLLOW_S), f"{kind} followed after {after:.1f} s"
        assert set(log.succeeded) == {"transaction", "mailbox", "pooled", "transient", "page"}
        assert log.stale == []
        # The test ended while one transaction was possibly in flight.
        assert await counter(context.redis, "n") - log.confirmed in {0, 1}
        assert await read_heartbeat(context.redis, Worker.BRIDGE)


async def send(context: WorkerContext, log: Log) -> None:
    """Apply transactions, each with a message to the worker's own mailbox."""
    while True:
        transaction = Transaction().count("n").enqueue(Worker.BRIDGE, SessionChanged(session_id=""))
        assert await context.transactions.apply(transaction) is Outcome.APPLIED
        log.confirmed += 1
        log.note("transaction")
        await asyncio.sleep(PAUSE_S)


async def receive(context: WorkerContext, log: Log) -> None:
    """Read the mailbox with a blocking read."""
    while True:
        for entry in await context.mailbox.read():
            await context.transactions.apply(Transaction().ack(Worker.BRIDGE, entry.id))
            log.note("mailbox")


async def pooled(redis: Redis, log: Log, kind: str = "pooled") -> None:
    """Read with the connections of a pool that stay open."""
    while True:
        try:
            if await redis.get(SERVER) == OLD:
                log.stale.append(kind)
            log.note(kind)
        except (RedisError, OSError):
            pass
        await asyncio.sleep(PAUSE_S)


async def transient(settings: Settings, log: Log) -> None:
    """Read with a new client each time, as each command of the command line does."""
    while True:
        async with looking_into(settings) as redis:
            try:
                if await redis.get(SERVER) == OLD:
                    log.stale.append("transient")
                log.note("transient")
            except (RedisError, OSError):
                pass
        await asyncio.sleep(PAUSE_S)


async def status_page(redis: Redis, settings: Settings, log: Log) -> None:
    """Read what the status page shows."""
    while True:
        view = await overview.collect(redis, settings)
        if view.redis.answers:
            log.note("page")
        await asyncio.sleep(PAUSE_S)


async def uses_former_master(group: RedisGroup, settings: Settings) -> list[str]:
    """Return the archiver's connections to the first master, until that is made a replica."""
    demoted = asyncio.create_task(group.wait_demoted())
    found = set[str]()
    async with Redis(host=LOOPBACK, port=group.first.port, protocol=2) as first:
        while not demoted.done():
            raw = await first.execute_command("CLIENT", "LIST")  # type: ignore[no-untyped-call]  # redis-py's
            found |= {
                text(line)
                for line in cast("bytes", raw).splitlines()
                if f" db={settings.archiver_redis_db} " in text(line) and LINK not in text(line)
            }
            await asyncio.sleep(PAUSE_S)
    await demoted
    return sorted(found)
