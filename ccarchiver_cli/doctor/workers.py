"""Check of the workers in Redis: heartbeats, leases and versions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_core import __version__, keys
from ccarchiver_core.base.host import host_name
from ccarchiver_core.redis.replies import read_string
from ccarchiver_core.runtime.heartbeat import Heartbeat, read_heartbeat
from ccarchiver_core.runtime.lease import parse_holder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

NAME = "worker"


@dataclass(frozen=True)
class Seen:
    """Heartbeat and lease of a worker in Redis."""

    heartbeat: Heartbeat | None
    holder: dict[str, Any] | None
    """Holder of its lease: host, pid, since."""


def check(site: Site) -> Iterator[Finding]:
    """Check the workers' heartbeats, leases and versions."""
    seen = query(site.settings, read_workers)
    for worker, one in seen.items():
        yield evaluate_worker(worker, one)
    yield from evaluate_versions(
        {worker: one.heartbeat.version for worker, one in seen.items() if one.heartbeat}
    )


async def read_workers(redis: Redis) -> dict[keys.Worker, Seen]:
    """Return the heartbeats and leases of all workers."""
    found = await asyncio.gather(*(_read(redis, worker) for worker in keys.Worker))
    return dict(zip(keys.Worker, found, strict=True))


async def _read(redis: Redis, worker: keys.Worker) -> Seen:
    heartbeat = await read_heartbeat(redis, worker)
    raw = await read_string(redis, worker.lease)
    return Seen(heartbeat, parse_holder(worker, raw) if raw else None)


def evaluate_worker(worker: keys.Worker, seen: Seen) -> Finding:
    """Evaluate one worker."""
    name = f"{NAME}.{worker}"
    heartbeat, holder = seen.heartbeat, seen.holder
    restart = f"supervisorctl restart ccarchiver:{worker}"
    if heartbeat is None:
        held = f"; its lease is held by pid {holder['pid']} on {holder['host']}" if holder else ""
        return failure(name, f"no heartbeat{held}", f"supervisorctl status, then {restart}")
    process = f"pid {heartbeat.pid} on {heartbeat.host}"
    if heartbeat.host == host_name() and heartbeat.pid and not psutil.pid_exists(heartbeat.pid):
        found = f"{process} wrote a heartbeat a moment ago, but this process is gone"
        return failure(name, found, restart)
    if holder is None:
        found = f"{process} has a heartbeat but holds no lease, so it must not write"
        return failure(name, found, restart)
    if heartbeat.pid and (holder["pid"], holder["host"]) != (heartbeat.pid, heartbeat.host):
        return failure(
            name,
            f"{process} has a heartbeat, but the lease is held by pid {holder['pid']} "
            f"on {holder['host']}: two instances",
            f"stop the instance that should not run: kill {heartbeat.pid} (on {heartbeat.host})",
        )
    if heartbeat.degraded_reason:
        remedy = "see the line of the service that it waits for"
        return warning(name, f"{process}: {heartbeat.degraded_reason}", remedy)
    return ok(name, f"{process}, holds its lease: {heartbeat.state}")


def evaluate_versions(versions: dict[keys.Worker, str]) -> Iterator[Finding]:
    """Evaluate whether the workers and this command have the same version."""
    if not versions:
        return
    name = f"{NAME}.versions"
    if {*versions.values()} == {__version__}:
        yield ok(name, f"all {__version__}")
        return
    listed = ", ".join(f"{worker} {version or '?'}" for worker, version in versions.items())
    found = f"{listed}, this command {__version__}"
    yield warning(name, found, "supervisorctl restart ccarchiver:*")
