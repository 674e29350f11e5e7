"""Fake bridge and health worker for tests of the CSC: they read their mailboxes and answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import (
    WORKER_MESSAGE_ADAPTER,
    ExposureEventMessage,
    SessionChanged,
    SessionFailed,
    SessionStarted,
    SessionStopped,
    WorkerMessage,
)
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.replies import read_members, text
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.store.session import read_session
from tests.core.redis_helpers import POLL_S, end, enqueue, looking_into, messages_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

OTHERS = (Worker.BRIDGE, Worker.HEALTH)


class FakeWorkers:
    """Acts as bridge and health. Made with `fake_workers_at_work`."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.fail_sessions_with: tuple[int, str] | None = None
        """Code and report with which the next sessions fail, None to let them start."""
        self.starts_sessions = True
        """Whether health pairs a Forwarder; otherwise a session searches until it is ended."""
        self.silent = False
        """Whether neither worker answers."""
        self._read_from = dict.fromkeys(OTHERS, "-")

    async def work(self) -> None:
        """Answer until cancelled."""
        while True:
            for worker in OTHERS:
                await self.write_heartbeat(worker)
                for message in await self._new_messages(worker):
                    if isinstance(message, SessionChanged) and not self.silent:
                        await self._answer(worker, message.session_id)
            await asyncio.sleep(POLL_S)

    async def _new_messages(self, worker: Worker) -> list[WorkerMessage]:
        """Return the messages since the last call. Reading all each time would be slow."""
        raw = await self.redis.xrange(worker.mailbox, min=self._read_from[worker])
        messages = cast("list[tuple[bytes, dict[bytes, bytes]]]", raw)
        if messages:
            self._read_from[worker] = f"({text(messages[-1][0])}"
        return [WORKER_MESSAGE_ADAPTER.validate_json(fields[b"message"]) for _, fields in messages]

    async def _answer(self, worker: Worker, session_id: str) -> None:
        current = await read_session(self.redis)
        if not current.is_active or current.id != session_id:
            await self.send(SessionStopped(session_id=session_id, worker=worker))
        elif not self.starts_sessions:
            return
        elif worker is Worker.HEALTH and self.fail_sessions_with is not None:
            code, report = self.fail_sessions_with
            await self.send(SessionFailed(session_id=session_id, code=code, report=report))
        elif worker is Worker.HEALTH:
            await self.redis.set("ccarchiver_association", "f99", ex=600)
            await self.send(SessionStarted(session_id=session_id))

    async def send(self, *messages: WorkerMessage) -> None:
        """Send messages to the CSC."""
        await enqueue(self.redis, Worker.SAL, *messages)

    async def write_heartbeat(self, worker: Worker) -> None:
        """Write a worker's heartbeat."""
        heartbeat = Heartbeat.model_construct(
            worker=worker,
            pid=1,
            host="test",
            version="0",
            started="",
            written_at=time.time(),
            state="",
            degraded_reason="",
            rss_bytes=0,
            cpu_share=0,
            threads=1,
            open_files=1,
            mailbox_depth=0,
        )
        await self.redis.set(worker.alive, heartbeat.model_dump_json(), ex=10)

    async def exposures(self) -> list[ExposureEventMessage]:
        """Return the events that the CSC has sent to the bridge."""
        return [
            message
            for message in await messages_in(self.redis, Worker.BRIDGE)
            if isinstance(message, ExposureEventMessage)
        ]

    async def images(self) -> list[str]:
        """Return the names of all images in the ledger."""
        return await read_members(self.redis, keys.IMAGES)


@asynccontextmanager
async def fake_workers_at_work(settings: Settings) -> AsyncIterator[FakeWorkers]:
    """Run the fake workers for the duration of a block."""
    async with looking_into(settings) as redis:
        workers = FakeWorkers(redis)
        working = asyncio.create_task(workers.work())
        try:
            yield workers
        finally:
            await end(working)
