"""Snapshots of the archiver for the page, and fingerprints that detect a change.

A fingerprint costs one short round trip to Redis, a snapshot many.
"""

from __future__ import annotations

import asyncio
import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.redis.errors import describe
from ccarchiver_core.redis.replies import raise_other_errors
from ccarchiver_core.runtime.heartbeat import parse_heartbeat
from ccarchiver_core.status.alarms import Alarm, Severity, alarms_of
from ccarchiver_core.status.overview import Overview, collect, without_redis
from ccarchiver_core.store import dead_letters, stage_durations

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

FINGERPRINT_LIMIT_S = 2.0
"""Time limit for a fingerprint. Loopback answers in 1 ms, and an outage must show soon."""

READ_LIMIT_S = 4.0
"""Time limit for a snapshot, which takes 0.1 s with thousands of images an hour, usually less."""

DEAD_LETTERS_SHOWN = 5
"""Number of dead letters shown, newest first; the command line lists all."""

COMPARED_FIELDS = ("pid", "started", "state", "degraded_reason", "last_error_at")
"""Fields of a heartbeat whose change requires a new snapshot. Memory and time always change."""

CSC_FIELDS = ("state", "error_code", "error_report")


class Verdict(enum.StrEnum):
    """State of the whole archiver."""

    WELL = "well"
    WARNING = "warning"
    CRITICAL = "critical"


class Latency(BaseModel):
    """Histogram of one stage; see `ccarchiver_core.store.stage_durations`."""

    stage: stage_durations.Stage
    counts: list[int]
    total_s: float


class DeadLetterView(BaseModel):
    """One dead letter without its bytes; `at` is in ISO 8601, UTC."""

    id: str
    at: str
    origin: str
    obsid: str
    reason: str


class Snapshot(BaseModel):
    """Everything that the page shows."""

    overview: Overview
    verdict: Verdict
    alarms: list[Alarm]
    bounds_s: tuple[float, ...] = stage_durations.BOUNDS_S
    """Upper bounds of the histograms' buckets; one more bucket has the values above the last."""
    latencies: list[Latency] = []
    dead_letters: list[DeadLetterView] = []


async def read_snapshot(redis: Redis, settings: Settings) -> Snapshot:
    """Return a new snapshot; its overview has the error if Redis is unavailable or too slow."""
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            view = await collect(redis, settings)
            if not view.redis.answers:
                return _with_verdict(view)
            found = _with_verdict(view)
            found.latencies = [
                Latency(stage=stage, counts=histogram.counts, total_s=histogram.total_s)
                for stage, histogram in (await stage_durations.read(redis)).items()
            ]
            found.dead_letters = [
                DeadLetterView(
                    id=one.id, at=one.at, origin=one.origin, obsid=one.obsid, reason=one.reason
                )
                for one in await dead_letters.newest(redis, DEAD_LETTERS_SHOWN)
            ]
            return found
    except (RedisError, OSError) as error:  # asyncio's TimeoutError is an OSError
        return snapshot_without_redis(settings, error)


def snapshot_without_redis(settings: Settings, error: Exception) -> Snapshot:
    """Return the snapshot of an archiver whose Redis cannot be read."""
    reason = describe(error) if str(error) else f"did not answer within {READ_LIMIT_S:g} s"
    return _with_verdict(without_redis(settings, reason))


def _with_verdict(view: Overview) -> Snapshot:
    alarms = alarms_of(view)
    verdict = Verdict.WARNING if alarms else Verdict.WELL
    if any(alarm.severity is Severity.CRITICAL for alarm in alarms):
        verdict = Verdict.CRITICAL
    return Snapshot(overview=view, verdict=verdict, alarms=alarms)


@dataclass(frozen=True)
class Fingerprint:
    """Values that change when the archiver's state changes."""

    values: tuple[str, ...]
    """Texts that change whenever a worker writes to Redis."""
    heartbeats: dict[str, float]
    """Unix time (UTC, seconds) of each worker's last heartbeat; a worker without one is omitted."""


async def read_fingerprint(redis: Redis) -> Fingerprint:
    """Return a fingerprint, read in one round trip.

    It differs from the previous one if a worker has written to Redis in between.

    Raises
    ------
    OSError, redis.exceptions.RedisError
        If Redis is unavailable or slow.
    """
    async with asyncio.timeout(FINGERPRINT_LIMIT_S), redis.pipeline(transaction=False) as pipe:
        for worker in keys.Worker:
            pipe.execute_command("GET", worker.fencing_token)
            pipe.execute_command("HGET", worker.applied, "last")  # number of its newest transaction
            pipe.execute_command("XLEN", worker.mailbox)
        pipe.execute_command("HMGET", keys.CSC, *CSC_FIELDS)
        pipe.execute_command("XLEN", keys.DEAD_LETTERS)
        pipe.execute_command("MGET", *(worker.alive for worker in keys.Worker))
        *replies, alive = raise_other_errors(await pipe.execute(raise_on_error=False))
    heartbeats: dict[str, float] = {}
    compared: list[object] = []
    for worker, raw in zip(keys.Worker, cast("list[bytes | None]", alive), strict=True):
        heartbeat = parse_heartbeat(worker, raw) if raw is not None else None
        compared.append(heartbeat and [getattr(heartbeat, name) for name in COMPARED_FIELDS])
        if heartbeat is not None:
            heartbeats[worker] = heartbeat.written_at
    return Fingerprint((repr(replies), repr(compared)), heartbeats)


class SnapshotReader:
    """Reader of snapshots, which reads one at a time and returns a recent one again.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        The page's own Redis client.
    settings : `Settings`
        The site's settings.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._lock = asyncio.Lock()
        self._last: Snapshot | None = None
        self._read_at = 0.0

    async def read(self, max_age: float = 0.0) -> Snapshot:
        """Return a snapshot that is at most `max_age` seconds old."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._read_at > max_age:
                self._last = await read_snapshot(self._redis, self._settings)
                self._read_at = time.monotonic()
            return self._last
