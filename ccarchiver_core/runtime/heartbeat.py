"""Heartbeats of the workers.

Each worker writes its heartbeat from its own event loop, so a loop that hangs writes none.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil
import structlog
from pydantic import BaseModel, ValidationError
from redis.exceptions import RedisError

from ccarchiver_core import __version__, keys
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.host import host_name
from ccarchiver_core.base.intervals import HEARTBEAT_S
from ccarchiver_core.domain.record_types import (
    Count,
    ProcessId,
    UnixTime,
)
from ccarchiver_core.log import logs
from ccarchiver_core.redis.replies import raise_other_errors, read_length, read_string
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT, NoAnswerError, TimeoutRedis
from ccarchiver_core.store import unreadable
from ccarchiver_core.store.field_parser import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.asyncio import Redis

    from ccarchiver_core.messaging.mailbox import Mailbox

_log = structlog.get_logger(__name__)

INTERVAL = HEARTBEAT_S
"""Seconds between two heartbeats. The other workers detect missing ones after a few of them."""

RESOURCES_INTERVAL = 5.0
"""Seconds between two readings of the process' resources, which cost as much as the heartbeat."""

TTL = 10.0
"""Time to live of a heartbeat in seconds, the same as that of a Forwarder's presence key."""


class Heartbeat(BaseModel):
    """Content of ``ccarchiver:alive:<worker>``.

    Memory is in bytes, the CPU share is 0 to 1 for each core, times are in UTC. All fields but
    `worker` have a default, because workers of two versions read each other during an upgrade.
    """

    worker: keys.Worker
    pid: ProcessId = 0
    host: str = ""
    version: str = ""
    started: str = ""
    written_at: UnixTime = 0.0
    state: str = ""
    degraded_reason: str = ""
    last_error: str = ""
    """The last error with an effect that the worker logged; see `LastError`."""
    last_error_at: UnixTime = 0.0
    rss_bytes: Count = 0
    cpu_share: UnixTime = 0.0
    threads: Count = 0
    open_files: Count = 0
    mailbox_depth: Count = 0
    mailbox_progress: Count | None = None
    link_since: UnixTime = 0.0
    """Time at which it connected to RabbitMQ: Unix time, UTC, seconds; 0 if not connected."""
    published_at: UnixTime = 0.0
    """Last confirmation by RabbitMQ: Unix time, UTC, seconds; 0 if none on this connection."""
    publish_s: UnixTime = 0.0
    """Seconds from that message to its confirmation."""
    link_problem: str = ""
    """Why it can send no message to RabbitMQ now, though a session is active; empty if it can."""

    @property
    def started_at(self) -> float | None:
        """Start time of the worker: Unix time, UTC, seconds; None if the heartbeat has none."""
        try:
            return dt.datetime.fromisoformat(self.started).timestamp()
        except ValueError:
            return None


class BrokerLinkStats(NamedTuple):
    """State of a worker's connection to RabbitMQ, for its `Heartbeat`; zeros if it has none.

    `problem` is the reason why nothing can be sent.
    """

    since: float = 0.0
    published_at: float = 0.0
    publish_s: float = 0.0
    problem: str = ""


class _Resources(NamedTuple):
    """Resources that the process uses; the fields are those of the `Heartbeat`."""

    rss_bytes: int
    cpu_share: float
    threads: int
    open_files: int


class HeartbeatPublisher:
    """Publishes the heartbeat of one worker.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        Client to write with.
    worker : `Worker`
        The worker.
    mailbox : `Mailbox`
        The worker's mailbox; its progress is part of the heartbeat.
    """

    def __init__(self, redis: Redis, worker: keys.Worker, mailbox: Mailbox) -> None:
        self._redis = redis
        self._mailbox = mailbox
        self._worker = worker
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only starts the interval
        self._resources: _Resources | None = None
        self._resources_at = 0.0
        self._started = dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
        self.state = "starting"
        """What the worker does at present, for the operator."""
        self.degraded_reason = ""
        """Why the worker is degraded, for the operator; empty if it is not."""
        self.is_published = True
        """Whether Redis accepted the last heartbeat.

        If it did, the other workers can publish theirs too.
        """
        self.read_broker_link: Callable[[], BrokerLinkStats] = BrokerLinkStats
        """Returns the state of the connection to RabbitMQ; set by the worker that has one."""

    async def publish(self) -> None:
        """Write the heartbeat once per `INTERVAL` until cancelled.

        A heartbeat that Redis does not accept is only logged: it may be unavailable or read-only.
        """
        depth: int | None = None
        while True:
            try:
                if depth is None:
                    depth = await read_length(self._redis, self._worker.mailbox)
                depth = await self._publish_once(depth)
                self.is_published = True
            except (RedisError, OSError) as error:
                self.is_published = False
                depth = None
                _log.debug("heartbeat.missed", error=str(error))
            await next_beat(INTERVAL)

    async def _publish_once(self, mailbox_depth: int) -> int:
        """Write one heartbeat, and return the depth of the mailbox for the next one.

        Both commands are sent at once, which halves the CPU time of an idle worker's heartbeat.
        """
        text = self.read(mailbox_depth).model_dump_json()
        try:
            # A pipeline has no time limit of its own, unlike a command.
            async with (
                asyncio.timeout(COMMAND_TIMEOUT),
                self._redis.pipeline(transaction=False) as pipe,
            ):
                pipe.execute_command("SET", self._worker.alive, text, "PX", int(TTL * 1000))
                pipe.execute_command("XLEN", self._worker.mailbox)
                written, depth = raise_other_errors(await pipe.execute(raise_on_error=False))
        except TimeoutError as error:
            raise NoAnswerError(TimeoutRedis.no_answer) from error
        if isinstance(written, Exception):
            raise written
        return 0 if isinstance(depth, Exception) else int(depth)

    async def stop(self) -> None:
        """Delete the heartbeat at a clean stop; if that fails, it expires by itself."""
        try:
            await self._redis.delete(self._worker.alive)
        except (RedisError, OSError) as error:
            _log.debug("heartbeat.not_removed", error=str(error))

    def read(self, mailbox_depth: int) -> Heartbeat:
        """Return a heartbeat with the present values."""
        link, resources = self.read_broker_link(), self._read_resources()
        return Heartbeat(
            worker=self._worker,
            pid=self._process.pid,
            host=host_name(),
            version=__version__,
            started=self._started,
            written_at=time.time(),
            state=self.state,
            degraded_reason=self.degraded_reason,
            rss_bytes=resources.rss_bytes,
            cpu_share=resources.cpu_share,
            threads=resources.threads,
            open_files=resources.open_files,
            mailbox_depth=mailbox_depth,
            mailbox_progress=self._mailbox.progress,
            last_error=logs.last_error.text,
            last_error_at=logs.last_error.at,
            link_since=link.since,
            published_at=link.published_at,
            publish_s=link.publish_s,
            link_problem=link.problem,
        )

    def _read_resources(self) -> _Resources:
        """Return the resources of the process, at most `RESOURCES_INTERVAL` old."""
        now = time.monotonic()
        if self._resources is None or now - self._resources_at >= RESOURCES_INTERVAL:
            self._resources_at = now
            with self._process.oneshot():
                self._resources = _Resources(
                    rss_bytes=self._process.memory_info().rss,
                    cpu_share=self._process.cpu_percent() / 100,
                    threads=self._process.num_threads(),
                    open_files=self._process.num_fds(),
                )
        return self._resources


async def read_heartbeat(redis: Redis, worker: keys.Worker) -> Heartbeat | None:
    """Return the heartbeat of a worker, or None if there is none; see `parse_heartbeat`."""
    raw = await read_string(redis, worker.alive)
    return None if raw is None else parse_heartbeat(worker, raw)


async def read_heartbeats(
    redis: Redis, workers: Iterable[keys.Worker]
) -> dict[keys.Worker, Heartbeat | None]:
    """Return the heartbeats of several workers, read with one command; see `parse_heartbeat`."""
    names = list(workers)
    raw = await redis.mget([worker.alive for worker in names])
    return {
        worker: None if text is None else parse_heartbeat(worker, text)
        for worker, text in zip(names, raw, strict=True)
    }


def parse_heartbeat(worker: keys.Worker, text: bytes | str) -> Heartbeat:
    """Return the heartbeat that a text from Redis holds.

    A text that cannot be parsed counts as a heartbeat too: its worker lives.
    """
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError as error:
        unreadable.report(worker.alive, "", reason_of(error))
        return Heartbeat(
            worker=worker,
            state="unreadable heartbeat, possibly of another version",
            written_at=time.time(),
        )
