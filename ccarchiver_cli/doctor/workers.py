"""The workers as Redis knows them: alive, holding their lease, of one version."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_core import __version__, keys
from ccarchiver_core.base.host import host_name
from ccarchiver_core.runtime.heartbeat import Heartbeat, read_heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

NAME = "worker"


@dataclass(frozen=True)
class Seen:
    """What Redis has of a worker."""

    heartbeat: Heartbeat | None
    holder: dict[str, Any] | None
    """Who holds its lease: host, pid, since."""


def check(site: Site) -> Iterator[Finding]:
    """Look at the workers' signs of life, their leases and versions."""
    seen = query(site.settings, read_workers)
    for worker, one in seen.items():
        yield evaluate_worker(worker, one)
    yield from evaluate_versions({worker: one.heartbeat.version for worker, one in seen.items() if one.heartbeat})


async def read_workers(redis: Redis) -> dict[keys.Worker, Seen]:
    """Read signs of life and leases of all workers."""
    found = await asyncio.gather(*(_read(redis, worker) for worker in keys.Worker))
    return dict(zip(keys.Worker, found, strict=True))


async def _read(redis: Redis, worker: keys.Worker) -> Seen:
    heartbeat = await read_heartbeat(redis, worker)
    raw = await redis.get(worker.lease)
    return Seen(heartbeat, json.loads(raw) if raw else None)


def evaluate_worker(worker: keys.Worker, seen: Seen) -> Finding:
    """Judge one worker."""
    name = f"{NAME}.{worker}"
    heartbeat, holder = seen.heartbeat, seen.holder
    restart = f"supervisorctl restart ccarchiver:{worker}"
    if heartbeat is None:
        held = f"; its lease is held by pid {holder['pid']} on {holder['host']}" if holder else ""
        return failure(name, f"shows no life{held}", f"supervisorctl status, then {restart}")
    who = f"pid {heartbeat.pid} on {heartbeat.host}"
    if heartbeat.host == host_name() and heartbeat.pid and not psutil.pid_exists(heartbeat.pid):
        return failure(name, f"{who} showed life a moment ago, but this process is gone", restart)
    if holder is None:
        return failure(name, f"{who} shows life but holds no lease: it may not write", restart)
    if heartbeat.pid and (holder["pid"], holder["host"]) != (heartbeat.pid, heartbeat.host):
        return failure(
            name,
            f"{who} shows life, but the lease is held by pid {holder['pid']} on {holder['host']}: two instances",
            f"end the one that should not be there: kill {heartbeat.pid} (on {heartbeat.host})",
        )
    if heartbeat.degraded_reason:
        return warning(name, f"{who}: {heartbeat.degraded_reason}", "the line of what it waits for says more")
    return ok(name, f"{who}, holds its lease: {heartbeat.state}")


def evaluate_versions(versions: dict[keys.Worker, str]) -> Iterator[Finding]:
    """Judge whether the workers and this command are of one version."""
    if not versions:
        return
    name = f"{NAME}.versions"
    if {*versions.values()} == {__version__}:
        yield ok(name, f"all {__version__}")
        return
    told = ", ".join(f"{worker} {version or '?'}" for worker, version in versions.items())
    yield warning(name, f"{told}, this command {__version__}", "supervisorctl restart ccarchiver:*")
