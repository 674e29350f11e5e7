"""The checks of the workers, from Redis records of real workers and from real processes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli.doctor import processes, workers
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_core import __version__
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.runtime.worker import WorkerContext
from tests.cli.doctor.doctor_helpers import bad, only, run_check, site_of
from tests.core.redis_helpers import looking_into

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_sim.testbed.brokers import PrivateRedis

HOST = socket.gethostname()


@pytest.fixture
def site(fresh_redis: PrivateRedis) -> Site:
    return site_of(fresh_redis)


@pytest.fixture
def other_process() -> Iterator[int]:
    """Yield the pid of a process that is not a worker and has its own environment."""
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    env = {"LSST_DDS_DOMAIN_ID": "7", "PATH": os.environ["PATH"], "PASSWORD": "secret"}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=env) as process:
        yield process.pid
        process.communicate()


def write_heartbeats(
    site: Site, *chosen: Worker, pid: int | None = None, version: str = __version__
) -> None:
    """Acquire the leases of workers in this process and publish one heartbeat each."""

    async def write() -> None:
        for worker in chosen:
            context = WorkerContext(worker, site.settings)
            await context.lease.acquire()
            heartbeat = context.heartbeat.read(0).model_copy(
                update={"version": version, "state": "at work"}
            )
            if pid is not None:
                heartbeat = heartbeat.model_copy(update={"pid": pid})
            await context.redis.set(worker.alive, heartbeat.model_dump_json())
            await context.redis.aclose()
            await context._blocking_redis.aclose()

    asyncio.run(write())


def forget(site: Site, *names: str) -> None:
    async def delete() -> None:
        async with looking_into(site.settings) as redis:
            await redis.delete(*names)

    asyncio.run(delete())


def test_three_healthy_workers_are_ok(site: Site) -> None:
    write_heartbeats(site, *Worker)
    findings = run_check(workers.check, site)
    assert [one.check for one in findings] == [
        "worker.sal",
        "worker.bridge",
        "worker.health",
        "worker.versions",
    ]
    assert not bad(findings)
    assert findings[0].found == f"pid {os.getpid()} on {HOST}, holds its lease: at work"


def test_worker_without_a_heartbeat_is_reported(site: Site) -> None:
    write_heartbeats(site, *Worker)
    forget(site, Worker.BRIDGE.alive)
    finding = only(bad(run_check(workers.check, site)))
    assert (finding.check, finding.level) == ("worker.bridge", Level.FAILURE)
    assert finding.found == f"no heartbeat; its lease is held by pid {os.getpid()} on {HOST}"
    assert finding.remedy.endswith("supervisorctl restart ccarchiver:bridge")


def test_worker_without_its_lease_is_reported(site: Site) -> None:
    write_heartbeats(site, *Worker)
    forget(site, Worker.SAL.lease)
    assert "holds no lease" in only(bad(run_check(workers.check, site))).found


@pytest.mark.processes
def test_two_instances_of_a_worker_are_reported(other_process: int) -> None:
    seen = workers.Seen(
        Heartbeat(worker=Worker.HEALTH, pid=other_process, host=HOST),
        {"pid": 1, "host": HOST, "since": "now"},
    )
    finding = workers.evaluate_worker(Worker.HEALTH, seen)
    assert finding.level is Level.FAILURE
    assert (
        f"pid {other_process} on {HOST} has a heartbeat, but the lease is held by pid 1 on {HOST}"
        in finding.found
    )


@pytest.mark.processes
def test_heartbeat_of_an_ended_process_is_reported() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    seen = workers.Seen(
        Heartbeat(worker=Worker.SAL, pid=process.pid, host=HOST), {"pid": process.pid, "host": HOST}
    )
    assert "this process is gone" in workers.evaluate_worker(Worker.SAL, seen).found


def test_degraded_worker_is_reported_with_its_reason() -> None:
    heartbeat = Heartbeat(
        worker=Worker.BRIDGE, pid=1, host="elsewhere", degraded_reason="waiting for RabbitMQ"
    )
    finding = workers.evaluate_worker(
        Worker.BRIDGE, workers.Seen(heartbeat, {"pid": 1, "host": "elsewhere"})
    )
    assert finding.level is Level.WARNING
    assert finding.found == "pid 1 on elsewhere: waiting for RabbitMQ"


def test_workers_of_two_versions_are_reported(site: Site) -> None:
    write_heartbeats(site, Worker.SAL, Worker.BRIDGE)
    write_heartbeats(site, Worker.HEALTH, version="0.0.9")
    finding = only(bad(run_check(workers.check, site)))
    assert (finding.check, finding.level) == ("worker.versions", Level.WARNING)
    assert "health 0.0.9, this command " in finding.found


def test_resource_limits_and_environment_of_a_worker_are_checked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_heartbeats(site, *Worker)
    assert only(run_check(processes.file_limits, site)).level is Level.OK
    monkeypatch.setattr(processes, "FEWEST", 2**30)
    findings = run_check(processes.file_limits, site)
    assert {one.level for one in findings} == {Level.WARNING}
    assert len(findings) == len(Worker) + 1
    assert f"bridge (pid {os.getpid()}) may open only" in findings[1].found


def test_nearly_exhausted_open_files_are_reported(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_heartbeats(site, *Worker)
    monkeypatch.setattr(processes, "NEARLY_ALL", 0.0)
    assert "files open" in run_check(processes.file_limits, site)[0].found


@pytest.mark.processes
def test_worker_with_another_environment_is_reported(site: Site, other_process: int) -> None:
    write_heartbeats(site, Worker.SAL, pid=other_process)
    finding = only(run_check(processes.environments, site))
    assert finding.level is Level.WARNING
    assert finding.found == "sal runs with LSST_DDS_DOMAIN_ID 7, here unset"
