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

COMPLETE_EVERY_S = 5.0
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

    Only the newest snapshot and the newest tick are queued for it, so a slow browser uses no more
    memory than a fast one.
    """

    def __init__(self) -> None:
        self._snapshot = b""
        self._tick = b""
        self._available = asyncio.Event()
        self._closed = False

    def offer(self, snapshot: bytes, tick: bytes) -> None:
        """Queue the newest snapshot and tick; an empty snapshot leaves the queued one."""
        self._snapshot = snapshot or self._snapshot
        self._tick = tick
        self._available.set()

    def close(self) -> None:
        """End the stream of this client."""
        self._closed = True
        self._available.set()

    async def next_chunk(self) -> bytes | None:
        """Wait for new events and return them; None if the stream must end."""
        await self._available.wait()
        if self._closed:
            return None
        self._available.clear()
        chunk, self._snapshot, self._tick = self._snapshot + self._tick, b"", b""
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
        self._has_clients = asyncio.Event()
        self._fingerprint: tuple[str, ...] | None = None
        self._heartbeats: dict[str, float] = {}
        self._complete_at = 0.0
        self._last = b""
        self.polls = 0
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
        self._has_clients.set()
        return client

    def unsubscribe(self, client: Client) -> None:
        """Remove a client; repeatable."""
        self._clients.discard(client)
        if not self._clients:
            self._has_clients.clear()
            self._fingerprint, self._last = None, b""

    def close(self) -> None:
        """End the streams of all clients."""
        for client in self._clients:
            client.close()

    async def run(self) -> None:
        """Produce events until cancelled. An error is logged and sent to the page."""
        while True:
            await self._has_clients.wait()
            snapshot, problem = b"", ""
            try:
                snapshot = await self._poll()
            except Exception as error:  # noqa: BLE001 - no error of the page may stop the worker
                _log.warning(
                    "page.reading_failed",
                    exc_info=error,
                    effect="the page shows old values; the archiver is not affected",
                )
                problem = f"{type(error).__name__}: {error}"
            tick = encode(
                "tick",
                json.dumps({"at": time.time(), "heartbeats": self._heartbeats, "problem": problem}),
            )
            if self._clients:
                self._last = snapshot or self._last
            for client in self._clients:
                client.offer(snapshot, tick)
            await asyncio.sleep(INTERVAL_S)

    async def _poll(self) -> bytes:
        """Return a new snapshot as an event, empty if nothing has changed."""
        self.polls += 1
        try:
            fingerprint = await read_fingerprint(self._redis)
        except (RedisError, OSError) as error:
            self._fingerprint, self._heartbeats = None, {}
            return _event_of(snapshot_without_redis(self._settings, error))
        self._heartbeats = fingerprint.heartbeats
        now = time.monotonic()
        if fingerprint.values == self._fingerprint and now - self._complete_at < COMPLETE_EVERY_S:
            return b""
        snapshot = await self._reader.read(max_age=0.0)
        self._fingerprint, self._complete_at = (
            (fingerprint.values if snapshot.overview.redis.answers else None),
            now,
        )
        return _event_of(snapshot)


def _event_of(snapshot: Snapshot) -> bytes:
    return encode("snapshot", snapshot.model_dump_json())
