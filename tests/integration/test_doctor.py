"""``ccarchiver doctor`` on a running archiver: all well, and then one thing after the other out of order."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pika
import pytest
import pytest_asyncio
import redis

from ccarchiver_core.settings import load_settings
from ccarchiver_sim.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.brokers.ports import LOOPBACK
from ccarchiver_sim.rig import waiting
from tests.support.stage import LIMIT_S, SHORT, Stage, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from ccarchiver_sim.rig.rig import Rig

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

Report = dict[str, Any]

OWN_LIMIT_S = 60.0
"""Four times what the doctor gives its checks; it is to end whatever hangs."""
ROOM = "left"
"""How a line about this machine's disk ends, which is not ours to judge."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """An archiver, ENABLED, on brokers of its own, which are frozen and reconfigured here."""
    folder = tmp_path_factory.mktemp("s")
    with PrivateRedis(folder / "redis") as server, PrivateRabbit(folder / "rabbit") as rabbit:
        async with staged(folder, SHORT, redis_server=server, rabbit=rabbit) as stage:
            await stage.set(())
            await stage.enable()
            await settled(stage)
            yield stage


def run(rig: Rig, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ccarchiver_cli.main", "doctor", *options]
    env = rig.env | {"COLUMNS": "80"}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=OWN_LIMIT_S, check=False)


async def report(rig: Rig, expected_exit: int) -> list[Report]:
    """Let the doctor look; what is well and how full this machine's disk is are left out."""
    done = await asyncio.to_thread(run, rig, "--json")
    assert "Traceback" not in done.stderr
    checks = json.loads(done.stdout)["checks"]
    bad = [one for one in checks if one["level"] != "ok" and ROOM not in one["found"]]
    assert done.returncode == expected_exit, bad
    return bad


async def settled(stage: Stage) -> None:
    """Wait until the doctor finds nothing: heartbeats tell a new state within a second, the bridge connects."""
    last: list[Report] = []

    async def well() -> bool:
        done = await asyncio.to_thread(run, stage.rig, "--json")
        last[:] = [
            one for one in json.loads(done.stdout)["checks"] if one["level"] != "ok" and ROOM not in one["found"]
        ]
        return not last

    await waiting.until_async(well, LIMIT_S, lambda: f"the doctor to find nothing; it found {last}")


def checks_of(bad: list[Report]) -> set[str]:
    return {one["check"] for one in bad}


@contextmanager
def channel_to(rig: Rig) -> Iterator[BlockingChannel]:
    account = pika.PlainCredentials(rig.rabbit.user, rig.rabbit.password)
    parameters = pika.ConnectionParameters(LOOPBACK, rig.rabbit.port, rig.vhost, account, heartbeat=0)
    with pika.BlockingConnection(parameters) as connection:
        yield connection.channel()


async def test_all_well(own_stage: Stage) -> None:
    assert await report(own_stage.rig, 0) == []


async def test_it_can_be_read_in_a_narrow_terminal_and_shows_no_password(own_stage: Stage) -> None:
    done = await asyncio.to_thread(run, own_stage.rig)
    assert done.returncode == 0
    assert not done.stderr
    long = [line for line in done.stdout.splitlines() if len(line) > 80 and str(own_stage.rig.folder.root) not in line]
    assert not long
    assert own_stage.rig.rabbit.password not in done.stdout
    assert done.stdout.splitlines()[-1].endswith(", failures: 0")


async def test_redis_configured_wrongly(own_stage: Stage) -> None:
    with redis.Redis(host=LOOPBACK, port=own_stage.rig.redis.port) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendfsync", "everysec")
        bad = await report(own_stage.rig, 1)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendfsync", "always")
    assert checks_of(bad) == {"redis.memory", "redis.persistence"}
    await settled(own_stage)


async def test_a_foreigner_on_our_queue(own_stage: Stage) -> None:
    with channel_to(own_stage.rig) as channel:
        channel.basic_consume("oods_publish_to_cc", lambda *_: None)
        [finding] = await report(own_stage.rig, 1)
    assert finding["check"] == "rabbitmq.consumers"
    assert "somebody else" in finding["found"]
    await settled(own_stage)


async def test_a_worker_stopped(own_stage: Stage) -> None:
    await asyncio.to_thread(own_stage.rig.supervisor.stop_worker, "bridge")
    bad = await report(own_stage.rig, 1)
    assert checks_of(bad) == {"rabbitmq.consumers", "supervisor", "worker.bridge"}
    [finding] = [one for one in bad if one["check"] == "supervisor"]
    assert finding["do"] == "supervisorctl start ccarchiver:bridge"
    await asyncio.to_thread(own_stage.rig.supervisor.start_worker, "bridge")
    await settled(own_stage)


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        (
            lambda rig: rig.redis,
            {
                "redis",
                "redis.persistence",
                "redis.memory",
                "redis.database",
                "redis.clock",
                "worker",
                "environment",
            },
        ),
        (lambda rig: rig.rabbit, {"rabbitmq", "rabbitmq.queues"}),
    ],
    ids=["redis", "rabbitmq"],
)
async def test_a_frozen_broker(own_stage: Stage, broker: Callable[[Rig], Any], expected: set[str]) -> None:
    frozen = broker(own_stage.rig)
    frozen.freeze()
    try:
        bad = await report(own_stage.rig, 1)
    finally:
        frozen.thaw()
    # what the outage does to the workers may show as well
    assert expected <= checks_of(bad)
    assert [one["level"] for one in bad if one["check"] == min(expected, key=len)] == ["failure"]
    await settled(own_stage)


async def test_a_queue_deleted(own_stage: Stage) -> None:
    settings = load_settings(own_stage.rig.folder.site_file)
    await own_stage.rig.end_peers(["oods"])
    with channel_to(own_stage.rig) as channel:
        channel.queue_delete(settings.queue_to_oods)
        bad = await report(own_stage.rig, 1)
    [finding] = bad
    assert finding["check"] == "rabbitmq.queues"
    assert finding["found"].startswith(f"not there: {settings.queue_to_oods}, though a session")
    await own_stage.rig.start_oods().wait_ready()
    await settled(own_stage)


async def test_a_wrong_configuration(own_stage: Stage) -> None:
    path = own_stage.rig.folder.site_file
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}  NO_SUCH_KEY: 1\n", encoding="utf-8")
    try:
        bad = await report(own_stage.rig, 78)
    finally:
        path.write_text(before, encoding="utf-8")
    [finding] = [one for one in bad if one["level"] == "failure"]
    assert finding["check"] == "configuration"
    assert "unknown key ROOT.NO_SUCH_KEY" in finding["found"]
    assert "not checked: the configuration is wrong" in {one["found"] for one in bad}
