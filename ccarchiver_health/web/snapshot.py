"""One reading of the archiver for the page, and the cheap look that tells whether a new one is needed."""

from __future__ import annotations

import asyncio
import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel
from redis.exceptions import RedisError

from ccarchiver_core import __version__, keys
from ccarchiver_core.runtime.heartbeat import parse_heartbeat
from ccarchiver_core.status.alarms import Alarm, Severity, alarms_of
from ccarchiver_core.status.overview import Overview, RedisView, collect
from ccarchiver_core.store import dead_letters, stage_durations

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

PULSE_LIMIT_S = 2.0
"""For the cheap look: loopback answers in a millisecond, and a page should say soon that Redis does not."""

READ_LIMIT_S = 4.0
"""For a whole reading: some milliseconds usually, a tenth of a second with thousands of images an hour."""

LETTERS_SHOWN = 5
"""Dead letters listed, newest first: the command line has them all."""

VITAL_SIGNS = ("pid", "started", "state", "degraded_reason", "last_error_at")
"""What of a worker's vital signs makes a new reading; its memory and its beat change always."""

CSC_FIELDS = ("state", "error_code", "error_report")


class Verdict(enum.StrEnum):
    """Everything in one word."""

    WELL = "well"
    WARNING = "warning"
    CRITICAL = "critical"


class Latency(BaseModel):
    """One measure's histogram; see `ccarchiver_core.store.stage_durations`."""

    measure: stage_durations.Stage
    counts: list[int]
    total_s: float


class LetterView(BaseModel):
    """One dead letter without its bytes; ``at`` in ISO 8601, UTC."""

    id: str
    at: str
    origin: str
    obsid: str
    reason: str


class Snapshot(BaseModel):
    """All that the page shows."""

    overview: Overview
    verdict: Verdict
    alarms: list[Alarm]
    bounds_s: tuple[float, ...] = stage_durations.BOUNDS_S
    """Upper bounds of the histograms' buckets; they have one more, for what is above."""
    latencies: list[Latency] = []
    letters: list[LetterView] = []


async def read_snapshot(redis: Redis, settings: Settings) -> Snapshot:
    """Read all of it; if Redis is away or does not answer in time, the overview in it says so."""
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            view = await collect(redis, settings)
            if not view.redis.answers:
                return _judged(view)
            found = _judged(view)
            found.latencies = [
                Latency(measure=measure, counts=histogram.counts, total_s=histogram.total_s)
                for measure, histogram in (await stage_durations.read(redis)).items()
            ]
            found.letters = [
                LetterView(id=one.id, at=one.at, origin=one.origin, obsid=one.obsid, reason=one.reason)
                for one in await dead_letters.newest(redis, LETTERS_SHOWN)
            ]
            return found
    except (RedisError, OSError) as error:  # asyncio's TimeoutError is an OSError
        return without_redis(settings, error)


def without_redis(settings: Settings, error: Exception) -> Snapshot:
    """Give the snapshot of an archiver whose Redis cannot be read."""
    why = " ".join(str(error).split()) or f"no answer in {READ_LIMIT_S:g} s"
    redis = RedisView(address=settings.redis_address, answers=False, error=why)
    return _judged(
        Overview(at=time.time(), version=__version__, archiver=settings.archiver_name, redis=redis),
    )


def _judged(view: Overview) -> Snapshot:
    alarms = alarms_of(view)
    verdict = Verdict.WARNING if alarms else Verdict.WELL
    if any(alarm.severity is Severity.CRITICAL for alarm in alarms):
        verdict = Verdict.CRITICAL
    return Snapshot(overview=view, verdict=verdict, alarms=alarms)


@dataclass(frozen=True)
class Fingerprint:
    """What a cheap look gives."""

    marks: tuple[str, ...]
    """Changes whenever a worker writes anything."""
    beats: dict[str, float]
    """Unix time (UTC, seconds) of each worker's last heartbeat; a worker that shows no life is left out."""


async def read_fingerprint(redis: Redis) -> Fingerprint:
    """Read what changes whenever a worker writes anything, in one short round trip; compare it with the one before.

    Raises
    ------
    OSError, redis.exceptions.RedisError
        If Redis is away or slow.
    """
    async with asyncio.timeout(PULSE_LIMIT_S), redis.pipeline(transaction=False) as pipe:
        for worker in keys.Worker:
            pipe.execute_command("GET", worker.fencing_token)
            pipe.execute_command("HGET", worker.applied, "last")  # the number of its newest step
            pipe.execute_command("XLEN", worker.mailbox)
        pipe.execute_command("HMGET", keys.CSC, *CSC_FIELDS)
        pipe.execute_command("XLEN", keys.DEAD_LETTERS)
        pipe.execute_command("MGET", *(worker.alive for worker in keys.Worker))
        *plain, alive = await pipe.execute()
    beats: dict[str, float] = {}
    signs: list[object] = []
    for worker, raw in zip(keys.Worker, cast("list[bytes | None]", alive), strict=True):
        heartbeat = parse_heartbeat(worker, raw) if raw is not None else None
        signs.append(heartbeat and [getattr(heartbeat, name) for name in VITAL_SIGNS])
        if heartbeat is not None:
            beats[worker] = heartbeat.written_at
    return Fingerprint((repr(plain), repr(signs)), beats)


class SnapshotReader:
    """Reads snapshots one at a time, and gives one that is young enough to whoever asks next.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        The page's own client.
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
        """Read one; an earlier one will do if it is not older than this many seconds."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._read_at > max_age:
                self._last = await read_snapshot(self._redis, self._settings)
                self._read_at = time.monotonic()
            return self._last
