"""``ccarchiver doctor`` on an archiver with one fault at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pika
import pytest
import pytest_asyncio
import redis

from ccarchiver_core.config.settings import load_settings
from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.support.archiver_harness import ArchiverHarness, running_archiver
from tests.support.doctor import Doctor, checks_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from ccarchiver_sim.testbed.rig import Rig
    from tests.support.cli_server import CliServer

# Extended: tests/cli/doctor covers each check; test_doctor.py one fault of a running archiver.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_archiver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ArchiverHarness]:
    """Start an archiver, ENABLED, on private brokers that these tests freeze and reconfigure."""
    folder = tmp_path_factory.mktemp("s")
    with PrivateRedis(folder / "redis") as server, PrivateRabbit(folder / "rabbit") as rabbit:
        async with running_archiver(folder, redis_server=server, rabbit=rabbit) as harness:
            await harness.set(())
            await harness.enable()
            yield harness


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doctor(own_archiver: ArchiverHarness, cli_server: CliServer) -> Doctor:
    ready = Doctor(cli_server, own_archiver.rig)
    await ready.settled()
    return ready


@contextmanager
def channel_to(rig: Rig) -> Iterator[BlockingChannel]:
    account = pika.PlainCredentials(rig.rabbit.user, rig.rabbit.password)
    parameters = pika.ConnectionParameters(
        LOOPBACK, rig.rabbit.port, rig.vhost, account, heartbeat=0
    )
    with pika.BlockingConnection(parameters) as connection:
        yield connection.channel()


async def test_doctor_reports_a_wrong_redis_configuration(
    own_archiver: ArchiverHarness, doctor: Doctor
) -> None:
    with redis.Redis(host=LOOPBACK, port=own_archiver.rig.redis.port) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendfsync", "everysec")
        bad = await doctor.report(1)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendfsync", "always")
    assert checks_of(bad) == {"redis.memory", "redis.persistence"}
    await doctor.settled()


async def test_doctor_reports_a_foreign_consumer_on_a_queue(
    own_archiver: ArchiverHarness, doctor: Doctor
) -> None:
    with channel_to(own_archiver.rig) as channel:
        channel.basic_consume("oods_publish_to_cc", lambda *_: None)
        [finding] = await doctor.report(1)
    assert finding["check"] == "rabbitmq.consumers"
    assert "another program" in finding["found"]
    await doctor.settled()


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
async def test_doctor_reports_a_frozen_broker(
    own_archiver: ArchiverHarness, doctor: Doctor, broker: Callable[[Rig], Any], expected: set[str]
) -> None:
    frozen = broker(own_archiver.rig)
    frozen.freeze()
    try:
        bad = await doctor.report(1)
    finally:
        frozen.thaw()
    # effects of the outage on the workers may be reported as well
    assert expected <= checks_of(bad)
    assert [one["level"] for one in bad if one["check"] == min(expected, key=len)] == ["failure"]
    await doctor.settled()


async def test_doctor_reports_a_deleted_queue(
    own_archiver: ArchiverHarness, doctor: Doctor
) -> None:
    settings = load_settings(own_archiver.rig.folder.site_file)
    await own_archiver.rig.end_peers(["oods"])
    with channel_to(own_archiver.rig) as channel:
        channel.queue_delete(settings.queue_to_oods)
        bad = await doctor.report(1)
    [finding] = bad
    assert finding["check"] == "rabbitmq.queues"
    assert finding["found"].startswith(f"missing: {settings.queue_to_oods}, although a session")
    await own_archiver.rig.start_oods().wait_ready()
    await doctor.settled()


async def test_doctor_reports_a_wrong_site_file(
    own_archiver: ArchiverHarness, doctor: Doctor
) -> None:
    path = own_archiver.rig.folder.site_file
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}  NO_SUCH_KEY: 1\n", encoding="utf-8")
    try:
        bad = await doctor.report(78)
    finally:
        path.write_text(before, encoding="utf-8")
    [finding] = [one for one in bad if one["level"] == "failure"]
    assert finding["check"] == "configuration"
    assert "unknown key ROOT.NO_SUCH_KEY" in finding["found"]
    assert "not checked: the configuration is wrong" in {one["found"] for one in bad}
