"""Helpers of tests with Redis: settings, clients, workers with a lease, mailboxes, waiting."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from ccarchiver_core import keys
from ccarchiver_core.config.settings import Settings
from ccarchiver_core.domain.worker_messages import WORKER_MESSAGE_ADAPTER
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.replies import read_hash, text
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_sim.pace import Deadline, scaled
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_core.domain.exposure import Exposure
    from ccarchiver_core.domain.worker_messages import WorkerMessage
    from ccarchiver_core.keys import Worker

DATA = Path(__file__).parent.parent / "data"

LIMIT_S = 60.0
"""Limit of a wait. It costs time only when a test fails."""

POLL_S = 0.01

CANCEL_AGAIN_S = 1.0
"""Seconds after which a task that has not ended is cancelled again."""

T = TypeVar("T")


def site(port: int, **changes: object) -> Settings:
    """Return the settings of a site whose Redis is on a port of this machine."""
    return Settings.model_validate({"REDIS_HOST": LOOPBACK, "REDIS_PORT": port, **changes})


def plain_client(settings: Settings) -> Redis:
    """Return a client with which a test reads and writes the archiver's database."""
    return make_client(settings)


@asynccontextmanager
async def looking_into(settings: Settings) -> AsyncIterator[Redis]:
    """Open a client of the archiver's database for the duration of a block."""
    client = plain_client(settings)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def holding(worker: Worker, settings: Settings) -> AsyncIterator[WorkerContext]:
    """Return a worker's context that holds the lease for the duration of a block."""
    context = WorkerContext(worker, settings)
    try:
        await context.lease.acquire()
        yield context
    finally:
        await context.close()


async def eventually(
    condition: Callable[[], Awaitable[T | None]], what: str, limit: float = LIMIT_S
) -> T:
    """Wait until a condition returns a true value, and return that value."""
    deadline = Deadline(limit)
    while True:
        value = await condition()
        if value:
            return value
        assert not deadline.has_passed(), f"waited {limit:g} s in vain for {what}"
        await asyncio.sleep(POLL_S)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended. Raise its error if it has failed by itself.

    Notes
    -----
    One cancellation is not always enough: see ``test_redis_client``. A second one that comes while
    the task closes a connection of redis-py leaves it open.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=scaled(CANCEL_AGAIN_S))
    if not task.cancelled():
        task.result()


async def enqueue(redis: Redis, to: Worker, *messages: WorkerMessage) -> list[str]:
    """Enqueue messages in a worker's mailbox as another worker does."""
    return [
        text(await redis.xadd(to.mailbox, {"message": message.model_dump_json()}))
        for message in messages
    ]


async def messages_in(redis: Redis, worker: Worker) -> list[WorkerMessage]:
    """Return the messages of a mailbox without removing them."""
    raw = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(worker.mailbox))
    return [WORKER_MESSAGE_ADAPTER.validate_json(fields[b"message"]) for _, fields in raw]


async def counter(redis: Redis, name: str) -> int:
    """Return the value of a counter."""
    return int(await redis.hget("ccarchiver:counters", name) or 0)


async def read_dead_letters(redis: Redis) -> list[dict[str, bytes]]:
    """Return the dead letters, oldest first."""
    raw = cast(
        "list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange("ccarchiver:dead_letters")
    )
    return [{name.decode(): value for name, value in fields.items()} for _, fields in raw]


async def read_fields(redis: Redis, obsid: str) -> dict[str, str]:
    """Return the fields of an image's hash as they are stored; empty if there is none."""
    return await read_hash(redis, keys.image(obsid))


async def read_exposure(redis: Redis, obsid: str, files_per_image: int) -> Exposure | None:
    """Return what the bridge would work with; None unless the image is open."""
    record = await ImageLedger(redis).read(obsid)
    return None if record is None else record.to_exposure(files_per_image)
