"""Checks of the workers' processes on this host: limits of open files, environment variables."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ccarchiver_cli.doctor.finding import NotCheckedError, ok, warning
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_cli.doctor.workers import read_workers
from ccarchiver_core.base.host import host_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

FEWEST = 1_024
"""Usual limit of open files on Linux; a worker has some 50 open."""

NEARLY_ALL = 0.8
"""Share of the limit from which the check warns."""

OURS = ("IIP_", "LSST_", "CCARCHIVER_", "CYCLONEDDS_")
"""Prefixes of the variables that the workers read; none of them holds a secret."""

RAISE = (
    "LimitNOFILE=4096 in the systemd unit, or `ulimit -n 4096` before supervisord; "
    "then restart supervisord"
)


def file_limits(site: Site) -> Iterator[Finding]:
    """Check how many files the workers, and programs started from this shell, may open."""
    name = "limits.files"
    mine, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits, bad = [f"this shell {mine}"], []
    for worker, pid in _pids(site, needed=False).items():
        limit, used = _limit_of(pid), _open_files(pid)
        limits.append(f"{worker} {limit if used is None else f'{used} of {limit}'}")
        if limit < FEWEST:
            bad.append(warning(name, f"{worker} (pid {pid}) may open only {limit} files", RAISE))
        elif used is not None and used > NEARLY_ALL * limit:
            found = f"{worker} (pid {pid}) has {used} of {limit} files open"
            bad.append(warning(name, found, RAISE))
    if mine < FEWEST:
        found = f"a program started from this shell may open only {mine} files"
        bad.append(warning(name, found, "ulimit -n 4096"))
    yield from bad or [ok(name, ", ".join(limits))]


def environments(site: Site) -> Iterator[Finding]:
    """Compare the workers' variables with this shell's, which the other checks read."""
    name = "environment"
    mine = _relevant(os.environ)
    bad = False
    for worker, pid in _pids(site, needed=True).items():
        try:
            theirs = _relevant(psutil.Process(pid).environ())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        differing = sorted(
            key
            for key in mine.keys() | theirs.keys()
            if (mine.get(key) or None) != (theirs.get(key) or None)
        )
        if differing:
            bad = True
            text = "; ".join(
                f"{key} {theirs.get(key) or 'unset'}, here {mine.get(key) or 'unset'}"
                for key in differing
            )
            remedy = "set -a; . ccarchiver.env; set +a, then run ccarchiver doctor again"
            yield warning(name, f"{worker} runs with {text}", remedy)
    if not bad:
        yield ok(name, "the workers on this host have the same variables as this shell")


def _relevant(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key.startswith(OURS)}


def _pids(site: Site, *, needed: bool) -> dict[str, int]:
    """Return the process ids of the workers on this host, from their heartbeats."""
    try:
        seen = query(site.settings, read_workers)
    except NotCheckedError:
        if needed:
            raise
        return {}
    here = host_name()
    heartbeats = {str(worker): one.heartbeat for worker, one in seen.items()}
    return {
        worker: heartbeat.pid
        for worker, heartbeat in heartbeats.items()
        if heartbeat is not None and heartbeat.host == here and psutil.pid_exists(heartbeat.pid)
    }


def _limit_of(pid: int) -> int:
    """Return the soft limit of a process. Unlike prlimit, this needs no privileges."""
    for line in Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return resource.RLIM_INFINITY if soft == "unlimited" else int(soft)
    return FEWEST


def _open_files(pid: int) -> int | None:
    try:
        return psutil.Process(pid).num_fds()
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return None
