"""The checks of the workers, by what real ones leave in Redis and by real processes."""

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
from tests.cli.doctor.doctor_helpers import bad, look, only, site_of
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
    """The pid of a process that is no worker, with an environment of its own."""
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    env = {"LSST_DDS_DOMAIN_ID": "7", "PATH": os.environ["PATH"], "PASSWORD": "secret"}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=env) as process:
        yield process.pid
        process.communicate()


def show_life(site: Site, *chosen: Worker, pid: int | None = None, version: str = __version__) -> None:
    """Have workers of this process take their lease and show life once, as they do."""

    async def write() -> None:
        for worker in chosen:
            context = WorkerContext(worker, site.settings)
            await context.lease.acquire()
            heartbeat = context.heartbeat.read(0).model_copy(update={"version": version, "state": "at work"})
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


def test_three_workers_as_they_have_to_be(site: Site) -> None:
    show_life(site, *Worker)
    findings = look(workers.check, site)
    assert [one.check for one in findings] == ["worker.sal", "worker.bridge", "worker.health", "worker.versions"]
    assert not bad(findings)
    assert findings[0].found == f"pid {os.getpid()} on {HOST}, holds its lease: at work"


def test_a_worker_that_shows_no_life(site: Site) -> None:
    show_life(site, *Worker)
    forget(site, Worker.BRIDGE.alive)
    finding = only(bad(look(workers.check, site)))
    assert (finding.check, finding.level) == ("worker.bridge", Level.FAILURE)
    assert finding.found == f"shows no life; its lease is held by pid {os.getpid()} on {HOST}"
    assert finding.remedy.endswith("supervisorctl restart ccarchiver:bridge")


def test_a_worker_without_its_lease(site: Site) -> None:
    show_life(site, *Worker)
    forget(site, Worker.SAL.lease)
    assert "holds no lease" in only(bad(look(workers.check, site))).found


@pytest.mark.processes
def test_two_instances_of_a_worker(other_process: int) -> None:
    seen = workers.Seen(
        Heartbeat(worker=Worker.HEALTH, pid=other_process, host=HOST), {"pid": 1, "host": HOST, "since": "now"}
    )
    finding = workers.evaluate_worker(Worker.HEALTH, seen)
    assert finding.level is Level.FAILURE
    assert f"pid {other_process} on {HOST} shows life, but the lease is held by pid 1 on {HOST}" in finding.found


@pytest.mark.processes
def test_a_process_that_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    seen = workers.Seen(Heartbeat(worker=Worker.SAL, pid=process.pid, host=HOST), {"pid": process.pid, "host": HOST})
    assert "this process is gone" in workers.evaluate_worker(Worker.SAL, seen).found


def test_a_worker_in_trouble_says_which() -> None:
    heartbeat = Heartbeat(worker=Worker.BRIDGE, pid=1, host="elsewhere", degraded_reason="waiting for RabbitMQ")
    finding = workers.evaluate_worker(Worker.BRIDGE, workers.Seen(heartbeat, {"pid": 1, "host": "elsewhere"}))
    assert finding.level is Level.WARNING
    assert finding.found == "pid 1 on elsewhere: waiting for RabbitMQ"


def test_workers_of_two_versions(site: Site) -> None:
    show_life(site, Worker.SAL, Worker.BRIDGE)
    show_life(site, Worker.HEALTH, version="0.0.9")
    finding = only(bad(look(workers.check, site)))
    assert (finding.check, finding.level) == ("worker.versions", Level.WARNING)
    assert "health 0.0.9, this command " in finding.found


def test_limits_and_environment_of_this_process(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    show_life(site, *Worker)
    assert only(look(processes.file_limits, site)).level is Level.OK
    monkeypatch.setattr(processes, "FEWEST", 2**30)
    findings = look(processes.file_limits, site)
    assert {one.level for one in findings} == {Level.WARNING}
    assert len(findings) == len(Worker) + 1
    assert f"bridge (pid {os.getpid()}) may open only" in findings[1].found


def test_nearly_all_files_open(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    show_life(site, *Worker)
    monkeypatch.setattr(processes, "NEARLY_ALL", 0.0)
    assert "files open" in look(processes.file_limits, site)[0].found


@pytest.mark.processes
def test_a_worker_with_another_environment(site: Site, other_process: int) -> None:
    show_life(site, Worker.SAL, pid=other_process)
    finding = only(look(processes.environments, site))
    assert finding.level is Level.WARNING
    assert finding.found == "sal runs with LSST_DDS_DOMAIN_ID 7, here unset"
