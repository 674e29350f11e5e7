"""Liveness: each worker writes its vital signs from its own event loop, so a hung loop shows."""

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
from ccarchiver_core.base.host import host_name
from ccarchiver_core.config.site_sections import HEARTBEAT_S
from ccarchiver_core.log import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from ccarchiver_core.messaging.mailbox import Mailbox

_log = structlog.get_logger(__name__)

INTERVAL = HEARTBEAT_S
"""Seconds between two heartbeats; the other workers notice an absence within a few of them."""

TTL = 10.0
"""Seconds a heartbeat stays readable: the same as a Forwarder's presence key."""


class Heartbeat(BaseModel):
    """Content of ``ccarchiver:alive:<worker>``; memory in bytes, CPU share 0 to 1 a core, times in UTC.

    Every field has a default: during an upgrade workers of two versions read each other.
    """

    worker: keys.Worker
    pid: int = 0
    host: str = ""
    version: str = ""
    started: str = ""
    written_at: float = 0.0
    state: str = ""
    degraded_reason: str = ""
    last_error: str = ""
    """The last line it logged at level error or above."""
    last_error_at: float = 0.0
    rss_bytes: int = 0
    cpu_share: float = 0.0
    threads: int = 0
    open_files: int = 0
    mailbox_depth: int = 0
    mailbox_progress: int | None = None
    link_since: float = 0.0
    """Since when it is connected to RabbitMQ: Unix time, UTC, seconds; 0 if it is not."""
    published_at: float = 0.0
    """When RabbitMQ last confirmed a message on this connection: Unix time, UTC, seconds; 0 if it has not."""
    publish_s: float = 0.0
    """Seconds that confirmation took."""

    @property
    def started_at(self) -> float | None:
        """When it was started: Unix time, UTC, seconds; None if it does not tell."""
        try:
            return dt.datetime.fromisoformat(self.started).timestamp()
        except ValueError:
            return None


class BrokerLinkStats(NamedTuple):
    """A worker's connection to RabbitMQ, as it shows in its `Vitals`; zeros for none."""

    since: float = 0.0
    published_at: float = 0.0
    publish_s: float = 0.0


class HeartbeatPublisher:
    """Writes one worker's vital signs.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        Where to.
    worker : `Worker`
        Whose.
    mailbox : `Mailbox`
        Whose progress shows that the worker makes progress.
    """

    def __init__(self, redis: Redis, worker: keys.Worker, mailbox: Mailbox) -> None:
        self._redis = redis
        self._mailbox = mailbox
        self._worker = worker
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first reading only starts the interval
        self._started = dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
        self.state = "starting"
        """What the worker is doing, for the operator."""
        self.degraded_reason = ""
        """What keeps it from its work, for the operator; empty if nothing does."""
        self.is_published = True
        """Whether Redis took the last beat: while it takes ours, the others can show life as well."""
        self.read_broker_link: Callable[[], BrokerLinkStats] = BrokerLinkStats
        """How to read the connection to RabbitMQ, for the worker that has one."""

    async def publish(self) -> None:
        """Write for ever; while Redis is away or refuses writes nobody can read it, so misses are only logged."""
        while True:
            try:
                depth = await self._redis.xlen(self._worker.mailbox)
                text = self.read(depth).model_dump_json()
                await self._redis.set(self._worker.alive, text, px=int(TTL * 1000))
                self.is_published = True
            except (RedisError, OSError) as error:
                self.is_published = False
                _log.debug("heartbeat.missed", error=str(error))
            await asyncio.sleep(INTERVAL)

    async def stop(self) -> None:
        """Take the vital signs away at a clean end, best effort: they end by themselves otherwise."""
        try:
            await self._redis.delete(self._worker.alive)
        except (RedisError, OSError) as error:
            _log.debug("heartbeat.not_removed", error=str(error))

    def read(self, mailbox_depth: int) -> Heartbeat:
        """Take a reading now."""
        link = self.read_broker_link()
        with self._process.oneshot():
            return Heartbeat(
                worker=self._worker,
                pid=self._process.pid,
                host=host_name(),
                version=__version__,
                started=self._started,
                written_at=time.time(),
                state=self.state,
                degraded_reason=self.degraded_reason,
                rss_bytes=self._process.memory_info().rss,
                cpu_share=self._process.cpu_percent() / 100,
                threads=self._process.num_threads(),
                open_files=self._process.num_fds(),
                mailbox_depth=mailbox_depth,
                mailbox_progress=self._mailbox.progress,
                last_error=logs.last_error.text,
                last_error_at=logs.last_error.at,
                link_since=link.since,
                published_at=link.published_at,
                publish_s=link.publish_s,
            )


async def read_heartbeat(redis: Redis, worker: keys.Worker) -> Heartbeat | None:
    """Read a worker's vital signs; None if it has shown none lately. What cannot be read is a sign of life as well."""
    raw = await redis.get(worker.alive)
    return None if raw is None else parse_heartbeat(worker, raw)


def parse_heartbeat(worker: keys.Worker, text: bytes | str) -> Heartbeat:
    """Read vital signs as they stand in Redis; what cannot be read is a sign of life as well."""
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError:
        return Heartbeat(worker=worker, state="unreadable: of another version?", written_at=time.time())
