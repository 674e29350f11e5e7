"""A worker's place in a test: settings of a private Redis, contexts that hold their lease, mail, waiting."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.domain.worker_messages import WORKER_MESSAGE_ADAPTER
from ccarchiver_core.redis.client import make_client, text
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.domain.worker_messages import WorkerMessage
    from ccarchiver_core.keys import Worker

DATA = Path(__file__).parent.parent / "data"

LIMIT_S = 60.0
"""For whatever is due; it costs only when something is broken."""

POLL_S = 0.01

T = TypeVar("T")


def site(port: int, **changes: object) -> Settings:
    """Give the settings of a site whose Redis is on a port of this machine."""
    return Settings.model_validate({"REDIS_HOST": LOOPBACK, "REDIS_PORT": port, **changes})


def plain_client(settings: Settings) -> Redis:
    """Make a client for the test's own looks into the archiver's database."""
    return make_client(settings)


@asynccontextmanager
async def looking_into(settings: Settings) -> AsyncIterator[Redis]:
    """Look into the archiver's database for the time of a block."""
    client = plain_client(settings)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def holding(worker: Worker, settings: Settings) -> AsyncIterator[WorkerContext]:
    """Be a worker that holds its lease, for the time of a block."""
    context = WorkerContext(worker, settings)
    try:
        await context.lease.acquire()
        yield context
    finally:
        await context.close()


async def eventually(condition: Callable[[], Awaitable[T | None]], what: str, limit: float = LIMIT_S) -> T:
    """Wait until a condition gives something that is true, and return that."""
    deadline = Deadline(limit)
    while True:
        value = await condition()
        if value:
            return value
        assert not deadline.has_passed(), f"waited {limit:g} s in vain for {what}"
        await asyncio.sleep(POLL_S)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended; if it has failed by itself, say so.

    Notes
    -----
    Once is not always enough: see ``test_redis_client``.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)
    if not task.cancelled():
        task.result()


async def post(redis: Redis, to: Worker, *letters: WorkerMessage) -> list[str]:
    """Put letters into a worker's mailbox as another worker would."""
    return [text(await redis.xadd(to.mailbox, {"message": message.model_dump_json()})) for message in letters]


async def mail_in(redis: Redis, worker: Worker) -> list[WorkerMessage]:
    """Read what is in a mailbox, without taking it out."""
    raw = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(worker.mailbox))
    return [WORKER_MESSAGE_ADAPTER.validate_json(fields[b"message"]) for _, fields in raw]


async def counter(redis: Redis, name: str) -> int:
    """Read one of the counters operators see."""
    return int(await redis.hget("ccarchiver:counters", name) or 0)


async def read_dead_letters(redis: Redis) -> list[dict[str, bytes]]:
    """Read the dead letters, oldest first."""
    raw = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange("ccarchiver:dead_letters"))
    return [{name.decode(): value for name, value in fields.items()} for _, fields in raw]
