"""Server-sent events of the page.

One producer serves all clients. It does not read Redis while no client is connected.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from ccarchiver_health.web.snapshot import read_fingerprint, snapshot_without_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.web.snapshot import Snapshot, SnapshotReader

INTERVAL_S = 1.0
"""Seconds between two polls of Redis; heartbeats are written once a second."""

WHOLE_EVERY_S = 5.0
"""Maximum seconds between two complete snapshots.

They show what no transaction writes: memory, ages, the commands of an operator.
"""

MAX_CLIENTS = 16
"""Maximum number of connected browsers.

A control room has a few. Each needs a connection and memory for one queued snapshot.
"""

_log = structlog.get_logger(__name__)


def encode(event: str, data: str) -> bytes:
    """Return a server-sent event with a JSON text, which must have no line ends."""
    return f"event: {event}\ndata: {data}\n\n".encode()


class Client:
    """One connected browser.

    Only the newest snapshot and the newest beat are queued for it, so a slow browser uses no more
    memory than a fast one.
    """

    def __init__(self) -> None:
        self._snapshot = b""
        self._beat = b""
        self._something = asyncio.Event()
        self._closed = False

    def offer(self, snapshot: bytes, beat: bytes) -> None:
        """Queue the newest snapshot and beat; an empty snapshot leaves the queued one."""
        self._snapshot = snapshot or self._snapshot
        self._beat = beat
        self._something.set()

    def close(self) -> None:
        """End the stream of this client."""
        self._closed = True
        self._something.set()

    async def take(self) -> bytes | None:
        """Wait for new events and return them; None if the stream must end."""
        await self._something.wait()
        if self._closed:
            return None
        self._something.clear()
        chunk, self._snapshot, self._beat = self._snapshot + self._beat, b"", b""
        return chunk


class Broadcaster:
    """Producer of the events for all clients together.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        The page's own Redis client.
    settings : `Settings`
        The site's settings.
    reader : `SnapshotReader`
        Reader that requests for a single snapshot share.
    """

    def __init__(self, redis: Redis, settings: Settings, reader: SnapshotReader) -> None:
        self._redis = redis
        self._settings = settings
        self._reader = reader
        self._clients: set[Client] = set()
        self._wanted = asyncio.Event()
        self._marks: tuple[str, ...] | None = None
        self._beats: dict[str, float] = {}
        self._whole_at = 0.0
        self._last = b""
        self.looks = 0
        """Number of polls of Redis since the start."""

    @property
    def listening(self) -> int:
        """Number of connected clients."""
        return len(self._clients)

    def subscribe(self) -> Client | None:
        """Add a client and return it; None if `MAX_CLIENTS` are connected."""
        if len(self._clients) >= MAX_CLIENTS:
            return None
        client = Client()
        if self._last:  # other clients are connected, so it is current
            client.offer(self._last, b"")
        self._clients.add(client)
        self._wanted.set()
        return client

    def unsubscribe(self, client: Client) -> None:
        """Remove a client; repeatable."""
        self._clients.discard(client)
        if not self._clients:
            self._wanted.clear()
            self._marks, self._last = None, b""

    def close(self) -> None:
        """End the streams of all clients."""
        for client in self._clients:
            client.close()

    async def run(self) -> None:
        """Produce events until cancelled. An error is logged and sent to the page."""
        while True:
            await self._wanted.wait()
            snapshot, problem = b"", ""
            try:
                snapshot = await self._look()
            except Exception as error:  # noqa: BLE001 - no error of the page may stop the worker
                _log.exception(
                    "page.reading_failed",
                    effect="the page shows old values; the archiver is not affected",
                )
                problem = f"{type(error).__name__}: {error}"
            beat = encode(
                "beat", json.dumps({"at": time.time(), "beats": self._beats, "problem": problem})
            )
            if self._clients:
                self._last = snapshot or self._last
            for client in self._clients:
                client.offer(snapshot, beat)
            await asyncio.sleep(INTERVAL_S)

    async def _look(self) -> bytes:
        """Return a new snapshot as an event, empty if nothing has changed."""
        self.looks += 1
        try:
            pulse = await read_fingerprint(self._redis)
        except (RedisError, OSError) as error:
            self._marks, self._beats = None, {}
            return _event_of(snapshot_without_redis(self._settings, error))
        self._beats = pulse.beats
        now = time.monotonic()
        if pulse.marks == self._marks and now - self._whole_at < WHOLE_EVERY_S:
            return b""
        snapshot = await self._reader.read(max_age=0.0)
        self._marks, self._whole_at = (
            (pulse.marks if snapshot.overview.redis.answers else None),
            now,
        )
        return _event_of(snapshot)


def _event_of(snapshot: Snapshot) -> bytes:
    return encode("snapshot", snapshot.model_dump_json())
