"""Redis as a server: there, new enough, durable, never forgetful, and with the right time."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from redis import exceptions

from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_cli.doctor.redis_link import cli, query, query_without_login, read_config, read_info
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.tls import REMEDY, is_of_tls
from ccarchiver_core.redis.client import UNAVAILABLE_ERRORS, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings

MIN_VERSION = (7, 0)
"""The oldest Redis the archiver was tried with."""

NEARLY_FULL = 0.9
"""Share of maxmemory in use: at 1.0 every write is refused."""

CLOCK_DIFFERENCE = 1.0
"""Seconds Redis' clock may differ: more, and the times of its host's logs and ours cannot be compared any more."""

PINGS = 5
"""The quickest counts: the checks beside this one take turns with it on this side."""

MS_PER_S = 1e3
US_PER_S = 1e6
MEGABYTE = 1e6


def reach(site: Site) -> Iterator[Finding]:
    """Look whether Redis is there, new enough, and how quickly it answers."""
    settings = site.settings
    try:
        version, seconds = query_without_login(settings, _version_and_latency)
    except ConfigError as error:
        yield failure("redis", str(error), "mend that, and ask again: ccarchiver doctor")
        return
    except exceptions.AuthenticationError as error:
        yield failure("redis", f"Redis at {settings.redis_address} {describe(error)}", "")
        return
    except exceptions.ResponseError as error:
        out_of_range = "index is out of range" in str(error)
        mend = "use a smaller ARCHIVER_REDIS_DB, or raise `databases` in redis.conf" if out_of_range else ""
        yield failure("redis", f"Redis at {settings.redis_address} refuses: {error}", mend)
        return
    except UNAVAILABLE_ERRORS as error:
        text = " ".join(str(error).split()) or type(error).__name__
        yield failure(
            "redis",
            f"Redis at {settings.redis_address} does not answer: {text}",
            REMEDY
            if is_of_tls(text)
            else f"{cli(settings, 'ping')} (is it running? are REDIS_HOST and REDIS_PORT right?)",
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
        await redis.time()  # as little work as PING is
        latencies.append(time.monotonic() - begin)
    return version, min(latencies)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[: len(MIN_VERSION)])


def persistence(site: Site) -> Iterator[Finding]:
    """Look whether what Redis has answered is on disk."""
    settings = site.settings
    info, fsync = query(settings, _persistence)
    yield evaluate_persistence(settings, info, fsync)


async def _persistence(redis: Redis) -> tuple[dict[str, Any], str | None]:
    return await read_info(redis, "persistence"), await read_config(redis, "appendfsync")


def evaluate_persistence(settings: Settings, info: dict[str, Any], fsync: str | None) -> Finding:
    """Judge INFO persistence and appendfsync; the worst is told."""
    name = "redis.persistence"
    if info.get("aof_last_write_status", "ok") != "ok":
        return failure(
            name,
            "Redis could not write its append-only file, so it refuses writes: the disk is full or broken",
            f"df -h the folder that `{cli(settings, 'config get dir')}` names; free some, Redis goes on by itself",
        )
    if not info.get("aof_enabled"):
        return failure(
            name,
            "appendonly is no: what Redis has promised is lost when it ends",
            f"{cli(settings, 'config set appendonly yes')} (and the same in redis.conf)",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok" or info.get("aof_last_bgrewrite_status", "ok") != "ok":
        return warning(
            name,
            "Redis' last snapshot or rewrite of its append-only file failed; it may refuse writes soon",
            "look into Redis' log: no memory to fork (vm.overcommit_memory), or no disk left?",
        )
    if fsync is None:
        return warning(name, "append-only, but Redis does not tell appendfsync", "make sure that it is always")
    if fsync != "always":
        return warning(
            name,
            f"append-only with appendfsync {fsync}: a power cut may take what was accepted in the last second",
            f"{cli(settings, 'config set appendfsync always')} (and the same in redis.conf)",
        )
    return ok(name, "append-only, on disk before it is answered; last writes good")


def memory(site: Site) -> Iterator[Finding]:
    """Look whether Redis would rather refuse a write than throw a key away."""
    settings = site.settings
    info = query(settings, lambda redis: read_info(redis, "memory"))
    yield evaluate_memory(settings, info)


def evaluate_memory(settings: Settings, info: dict[str, Any]) -> Finding:
    """Judge INFO memory."""
    name = "redis.memory"
    policy, limit, used = str(info["maxmemory_policy"]), int(info["maxmemory"]), int(info["used_memory"])
    if policy != "noeviction":
        return failure(
            name,
            f"maxmemory-policy is {policy}: when memory is short, Redis throws away what the archiver promised",
            f"{cli(settings, 'config set maxmemory-policy noeviction')} (and the same in redis.conf)",
        )
    share = f"{used / MEGABYTE:.0f} of {limit / MEGABYTE:.0f} MB" if limit else f"{used / MEGABYTE:.0f} MB, no limit"
    more = f"{cli(settings, f'config set maxmemory {2 * limit}')} (and in redis.conf), or remove what is not needed"
    if limit and used >= limit:
        return failure(name, f"Redis is full, {share} used: it refuses every write, the workers wait", more)
    if limit and used > NEARLY_FULL * limit:
        return warning(name, f"noeviction; {share} used: soon every write is refused", more)
    return ok(name, f"noeviction; {share}")


def clock(site: Site) -> Iterator[Finding]:
    """Compare Redis' clock with this host's."""
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
    """Judge how far Redis' clock is from ours; seconds, positive if it is ahead."""
    name = "redis.clock"
    if abs(difference) - uncertainty > CLOCK_DIFFERENCE:
        side = "ahead of" if difference > 0 else "behind"
        return warning(
            name,
            f"the clock of {settings.redis_host} is {abs(difference):.1f} s {side} this host's",
            "chronyc tracking (on both hosts): one of them does not follow its time server",
        )
    return ok(name, f"Redis' clock and this host's agree within {CLOCK_DIFFERENCE:g} s ({difference:+.3f} s)")
