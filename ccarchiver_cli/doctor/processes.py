"""The workers' processes on this host: how many files they may open, and which environment they run in."""

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
"""Files a process may open on a usual Linux; a worker has some 50 open."""

NEARLY_ALL = 0.8
"""Share of the limit in use."""

OURS = ("IIP_", "LSST_", "CCARCHIVER_", "CYCLONEDDS_")
"""How the variables begin that the workers read; none of them holds a secret."""

RAISE = "LimitNOFILE=4096 in the systemd unit, or `ulimit -n 4096` before supervisord; then restart supervisord"


def file_limits(site: Site) -> Iterator[Finding]:
    """Look how many files the workers, and what is started from this shell, may open."""
    name = "limits.files"
    mine, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    told, bad = [f"this shell {mine}"], []
    for worker, pid in _pids(site, needed=False).items():
        limit, used = _limit_of(pid), _open_files(pid)
        told.append(f"{worker} {limit if used is None else f'{used} of {limit}'}")
        if limit < FEWEST:
            bad.append(warning(name, f"{worker} (pid {pid}) may open only {limit} files", RAISE))
        elif used is not None and used > NEARLY_ALL * limit:
            bad.append(warning(name, f"{worker} (pid {pid}) has {used} of {limit} files open", RAISE))
    if mine < FEWEST:
        bad.append(warning(name, f"what is started from this shell may open only {mine} files", "ulimit -n 4096"))
    yield from bad or [ok(name, ", ".join(told))]


def environments(site: Site) -> Iterator[Finding]:
    """Compare the workers' environment with this shell's: the other checks look at this shell's."""
    name = "environment"
    mine = _relevant(os.environ)
    bad = False
    for worker, pid in _pids(site, needed=True).items():
        try:
            theirs = _relevant(psutil.Process(pid).environ())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        differing = sorted(
            key for key in mine.keys() | theirs.keys() if (mine.get(key) or None) != (theirs.get(key) or None)
        )
        if differing:
            bad = True
            text = "; ".join(
                f"{key} {theirs.get(key) or 'unset'}, here {mine.get(key) or 'unset'}" for key in differing
            )
            yield warning(name, f"{worker} runs with {text}", "set -a; . ccarchiver.env; set +a, and ask again")
    if not bad:
        yield ok(name, "the workers on this host have the same variables as this shell")


def _relevant(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key.startswith(OURS)}


def _pids(site: Site, *, needed: bool) -> dict[str, int]:
    """Give the workers' process ids on this host, by their signs of life."""
    try:
        seen = query(site.settings, read_workers)
    except NotCheckedError:
        if needed:
            raise
        return {}
    here = host_name()
    heartbeat = {str(worker): one.heartbeat for worker, one in seen.items()}
    return {
        worker: one.pid
        for worker, one in heartbeat.items()
        if one is not None and one.host == here and psutil.pid_exists(one.pid)
    }


def _limit_of(pid: int) -> int:
    """Read the soft limit of a process; anyone may, unlike prlimit."""
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
