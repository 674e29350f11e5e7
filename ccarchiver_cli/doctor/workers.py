"""The workers as Redis knows them: alive, holding their lease, of one version."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_cli.doctor.redis_link import ask
from ccarchiver_core import __version__, keys
from ccarchiver_core.this_host import host_name
from ccarchiver_core.vitals import Vitals, read_vitals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

NAME = "worker"


@dataclass(frozen=True)
class Seen:
    """What Redis has of a worker."""

    vitals: Vitals | None
    holder: dict[str, Any] | None
    """Who holds its lease: host, pid, since."""


def look(site: Site) -> Iterator[Finding]:
    """Look at the workers' signs of life, their leases and versions."""
    seen = ask(site.settings, read_workers)
    for worker, one in seen.items():
        yield judge_worker(worker, one)
    yield from judge_versions({worker: one.vitals.version for worker, one in seen.items() if one.vitals})


async def read_workers(redis: Redis) -> dict[keys.Worker, Seen]:
    """Read signs of life and leases of all workers."""
    found = await asyncio.gather(*(_read(redis, worker) for worker in keys.Worker))
    return dict(zip(keys.Worker, found, strict=True))


async def _read(redis: Redis, worker: keys.Worker) -> Seen:
    vitals = await read_vitals(redis, worker)
    raw = await redis.get(worker.lease)
    return Seen(vitals, json.loads(raw) if raw else None)


def judge_worker(worker: keys.Worker, seen: Seen) -> Finding:
    """Judge one worker."""
    name = f"{NAME}.{worker}"
    vitals, holder = seen.vitals, seen.holder
    restart = f"supervisorctl restart ccarchiver:{worker}"
    if vitals is None:
        held = f"; its lease is held by pid {holder['pid']} on {holder['host']}" if holder else ""
        return failure(name, f"shows no life{held}", f"supervisorctl status, then {restart}")
    who = f"pid {vitals.pid} on {vitals.host}"
    if vitals.host == host_name() and vitals.pid and not psutil.pid_exists(vitals.pid):
        return failure(name, f"{who} showed life a moment ago, but this process is gone", restart)
    if holder is None:
        return failure(name, f"{who} shows life but holds no lease: it may not write", restart)
    if vitals.pid and (holder["pid"], holder["host"]) != (vitals.pid, vitals.host):
        return failure(
            name,
            f"{who} shows life, but the lease is held by pid {holder['pid']} on {holder['host']}: two instances",
            f"end the one that should not be there: kill {vitals.pid} (on {vitals.host})",
        )
    if vitals.trouble:
        return warning(name, f"{who}: {vitals.trouble}", "the line of what it waits for says more")
    return ok(name, f"{who}, holds its lease: {vitals.state}")


def judge_versions(versions: dict[keys.Worker, str]) -> Iterator[Finding]:
    """Judge whether the workers and this command are of one version."""
    if not versions:
        return
    name = f"{NAME}.versions"
    if {*versions.values()} == {__version__}:
        yield ok(name, f"all {__version__}")
        return
    told = ", ".join(f"{worker} {version or '?'}" for worker, version in versions.items())
    yield warning(name, f"{told}, this command {__version__}", "supervisorctl restart ccarchiver:*")
