"""Checks of the Redis server.

It must be reachable and new enough, keep every write on disk, evict no key and have the right time.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from redis import exceptions

from ccarchiver_cli.connection import redis_address_keys
from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_cli.doctor.redis_link import cli, query, query_without_login, read_config, read_info
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.tls import REMEDY, is_of_tls
from ccarchiver_core.redis.connection_failures import failure_remedy
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_core.redis.server_check import RejectedConnectionError, WrongServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings

MIN_VERSION = (7, 0)
"""Oldest Redis with which the archiver was tested."""

NEARLY_FULL = 0.9
"""Share of maxmemory from which the check warns; at 1.0 Redis rejects every write."""

CLOCK_DIFFERENCE = 1.0
"""Tolerated difference of Redis' clock in seconds.

Above it, times in the logs of the two hosts cannot be compared.
"""

PINGS = 5
"""Number of measurements, of which the shortest counts.

The other checks run at the same time and delay some of them.
"""

MS_PER_S = 1e3
US_PER_S = 1e6
MEGABYTE = 1e6


def reach(site: Site) -> Iterator[Finding]:
    """Check whether Redis answers and how quickly, and whether it is new enough."""
    settings = site.settings
    try:
        version, seconds = query_without_login(settings, _version_and_latency)
    except ConfigError as error:
        yield failure("redis", str(error), "correct that, then run ccarchiver doctor again")
        return
    except (exceptions.AuthenticationError, RejectedConnectionError, WrongServerError) as error:
        yield failure("redis", f"Redis at {settings.redis_address} {describe(error)}", "")
        return
    except exceptions.ResponseError as error:
        out_of_range = "index is out of range" in str(error)
        remedy = "use a smaller ARCHIVER_REDIS_DB, or raise `databases` in redis.conf"
        found = f"Redis at {settings.redis_address} returned an error: {error}"
        yield failure("redis", found, remedy if out_of_range else "")
        return
    except UNAVAILABLE_ERRORS as error:
        text = describe(error)
        remedy = failure_remedy(error, redis_address_keys(settings))
        yield failure(
            "redis",
            f"Redis at {settings.redis_address} {text}",
            REMEDY if is_of_tls(text) else f"{remedy}; then: {cli(settings, 'ping')}",
        )
        return
    where = f"Redis {version} at {settings.redis_address}"
    if _number(version) < MIN_VERSION:
        oldest = ".".join(str(part) for part in MIN_VERSION)
        yield failure("redis", f"{where} is too old", f"install Redis {oldest} or later")
        return
    yield ok("redis", f"{where} answers in {seconds * MS_PER_S:.1f} ms")


async def _version_and_latency(redis: Redis) -> tuple[str, float]:
    version = str((await read_info(redis, "server"))["redis_version"])
    latencies = []
    for _ in range(PINGS):
        begin = time.monotonic()
        await redis.time()  # as little work as PING
        latencies.append(time.monotonic() - begin)
    return version, min(latencies)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[: len(MIN_VERSION)])


def persistence(site: Site) -> Iterator[Finding]:
    """Check whether every confirmed write is on disk."""
    settings = site.settings
    info, fsync = query(settings, _persistence)
    yield evaluate_persistence(settings, info, fsync)


async def _persistence(redis: Redis) -> tuple[dict[str, Any], str | None]:
    return await read_info(redis, "persistence"), await read_config(redis, "appendfsync")


def evaluate_persistence(settings: Settings, info: dict[str, Any], fsync: str | None) -> Finding:
    """Evaluate INFO persistence and appendfsync; return the most serious finding."""
    name = "redis.persistence"
    if info.get("aof_last_write_status", "ok") != "ok":
        return failure(
            name,
            "Redis could not write its append-only file, so it rejects writes: "
            "the disk is full or broken",
            f"df -h the directory that `{cli(settings, 'config get dir')}` prints; free some "
            "space, then Redis continues by itself",
        )
    if not info.get("aof_enabled"):
        return failure(
            name,
            "appendonly is no: Redis loses confirmed writes when it ends",
            f"{cli(settings, 'config set appendonly yes')} (and the same in redis.conf)",
        )
    if (
        info.get("rdb_last_bgsave_status", "ok") != "ok"
        or info.get("aof_last_bgrewrite_status", "ok") != "ok"
    ):
        return warning(
            name,
            "Redis' last snapshot or rewrite of its append-only file failed; "
            "it may reject writes soon",
            "read Redis' log: too little memory to fork (vm.overcommit_memory), or a full disk?",
        )
    if fsync is None:
        found = "append-only, but Redis does not report appendfsync"
        return warning(name, found, "make sure that it is always")
    if fsync != "always":
        return warning(
            name,
            f"append-only with appendfsync {fsync}: "
            "a power cut may lose the writes of the last second",
            f"{cli(settings, 'config set appendfsync always')} (and the same in redis.conf)",
        )
    return ok(name, "append-only, on disk before Redis confirms a write; the last writes succeeded")


def memory(site: Site) -> Iterator[Finding]:
    """Check whether a full Redis rejects writes instead of evicting keys."""
    settings = site.settings
    info = query(settings, lambda redis: read_info(redis, "memory"))
    yield evaluate_memory(settings, info)


def evaluate_memory(settings: Settings, info: dict[str, Any]) -> Finding:
    """Evaluate INFO memory."""
    name = "redis.memory"
    policy = str(info["maxmemory_policy"])
    limit, used = int(info["maxmemory"]), int(info["used_memory"])
    if policy != "noeviction":
        return failure(
            name,
            f"maxmemory-policy is {policy}: when memory is short, "
            "Redis deletes the archiver's records",
            f"{cli(settings, 'config set maxmemory-policy noeviction')} "
            "(and the same in redis.conf)",
        )
    megabytes = f"{used / MEGABYTE:.0f}"
    share = f"{megabytes} of {limit / MEGABYTE:.0f} MB" if limit else f"{megabytes} MB, no limit"
    raise_limit = cli(settings, f"config set maxmemory {2 * limit}")
    remedy = f"{raise_limit} (and in redis.conf), or remove what is not needed"
    if limit and used >= limit:
        found = f"Redis is full, {share} used: it rejects every write, and the workers wait"
        return failure(name, found, remedy)
    if limit and used > NEARLY_FULL * limit:
        found = f"noeviction; {share} used: a full Redis rejects every write"
        return warning(name, found, remedy)
    return ok(name, f"noeviction; {share}")


def clock(site: Site) -> Iterator[Finding]:
    """Compare the clock of Redis with this host's."""
    settings = site.settings
    difference, uncertainty = query(settings, _clock_difference)
    yield evaluate_clock(settings, difference, uncertainty)


async def _clock_difference(redis: Redis) -> tuple[float, float]:
    readings = [await _one_clock_difference(redis) for _ in range(PINGS)]
    return min(readings, key=lambda reading: reading[1])


async def _one_clock_difference(redis: Redis) -> tuple[float, float]:
    before, begin = time.time(), time.monotonic()
    seconds, microseconds = await redis.time()
    duration = time.monotonic() - begin
    return seconds + microseconds / US_PER_S - (before + duration / 2), duration / 2


def evaluate_clock(settings: Settings, difference: float, uncertainty: float) -> Finding:
    """Evaluate the difference of Redis' clock in seconds, positive if Redis is ahead."""
    name = "redis.clock"
    if abs(difference) - uncertainty > CLOCK_DIFFERENCE:
        side = "ahead of" if difference > 0 else "behind"
        return warning(
            name,
            f"the clock of {settings.redis_host} is {abs(difference):.1f} s {side} this host's",
            "chronyc tracking (on both hosts): one of them does not follow its time server",
        )
    agreement = f"agree within {CLOCK_DIFFERENCE:g} s ({difference:+.3f} s)"
    return ok(name, f"Redis' clock and this host's {agreement}")
