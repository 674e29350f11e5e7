"""The events of the page: one producer for all who listen, nobody at work when nobody listens."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from ccarchiver_health.web.snapshot import read_fingerprint, without_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.web.snapshot import Snapshot, SnapshotReader

INTERVAL_S = 1.0
"""Between two looks: heartbeats come once a second, and no person sees more."""

WHOLE_EVERY_S = 5.0
"""A whole snapshot at least so often, for what no step writes: memory, ages, an operator's commands."""

MAX_CLIENTS = 16
"""Browsers at once: a control room has a few; each costs a connection and one queued snapshot."""

_log = structlog.get_logger(__name__)


def encode(event: str, data: str) -> bytes:
    """Make one server-sent event of a JSON text without line ends."""
    return f"event: {event}\ndata: {data}\n\n".encode()


class Client:
    """One who listens: at most one snapshot and one beat wait for it, the newest, however slow it is."""

    def __init__(self) -> None:
        self._snapshot = b""
        self._beat = b""
        self._something = asyncio.Event()
        self._closed = False

    def offer(self, snapshot: bytes, beat: bytes) -> None:
        """Put the newest where the client takes it; an empty snapshot leaves the one that waits."""
        self._snapshot = snapshot or self._snapshot
        self._beat = beat
        self._something.set()

    def close(self) -> None:
        """End its stream."""
        self._closed = True
        self._something.set()

    async def take(self) -> bytes | None:
        """Wait for something new and take it; None if the stream is to end."""
        await self._something.wait()
        if self._closed:
            return None
        self._something.clear()
        chunk, self._snapshot, self._beat = self._snapshot + self._beat, b"", b""
        return chunk


class Broadcaster:
    """Looks into Redis for all clients together.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        The page's own client.
    settings : `Settings`
        The site's settings.
    reader : `SnapshotReader`
        Shared with those who ask for one snapshot.
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
        """Looks into Redis since the start."""

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._clients)

    def subscribe(self) -> Client | None:
        """Begin to listen; None if there are as many as there may be."""
        if len(self._clients) >= MAX_CLIENTS:
            return None
        client = Client()
        if self._last:  # others listen, so it is what they see
            client.offer(self._last, b"")
        self._clients.add(client)
        self._wanted.set()
        return client

    def unsubscribe(self, client: Client) -> None:
        """Listen no more; safe to repeat."""
        self._clients.discard(client)
        if not self._clients:
            self._wanted.clear()
            self._marks, self._last = None, b""

    def close(self) -> None:
        """End all streams."""
        for client in self._clients:
            client.close()

    async def run(self) -> None:
        """Produce until cancelled; an error is logged, shown on the page and tried again."""
        while True:
            await self._wanted.wait()
            snapshot, problem = b"", ""
            try:
                snapshot = await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not the worker's concern
                _log.exception("page.reading_failed", effect="the page shows old values; the archiver goes on")
                problem = f"{type(error).__name__}: {error}"
            beat = encode("beat", json.dumps({"at": time.time(), "beats": self._beats, "problem": problem}))
            if self._clients:
                self._last = snapshot or self._last
            for client in self._clients:
                client.offer(snapshot, beat)
            await asyncio.sleep(INTERVAL_S)

    async def _look(self) -> bytes:
        """Give a new snapshot as an event; empty if nothing has changed."""
        self.looks += 1
        try:
            pulse = await read_fingerprint(self._redis)
        except (RedisError, OSError) as error:
            self._marks, self._beats = None, {}
            return _event_of(without_redis(self._settings, error))
        self._beats = pulse.beats
        now = time.monotonic()
        if pulse.marks == self._marks and now - self._whole_at < WHOLE_EVERY_S:
            return b""
        snapshot = await self._reader.read(max_age=0.0)
        self._marks, self._whole_at = (pulse.marks if snapshot.overview.redis.answers else None), now
        return _event_of(snapshot)


def _event_of(snapshot: Snapshot) -> bytes:
    return encode("snapshot", snapshot.model_dump_json())
