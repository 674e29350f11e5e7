"""A host restarts: the only Forwarder ends, RabbitMQ is away for long, and both return."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from tests.support.archiver_harness import ArchiverHarness, running_archiver, short

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GRACE_S = scaled(4)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,  # tests/health/test_pairing.py covers the time of a search
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_archiver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ArchiverHarness]:
    folder = tmp_path_factory.mktemp("reboot")
    settings = short(REASSIGN_GRACE=GRACE_S, BROKER_OUTAGE_LIMIT=300)
    with PrivateRedis(folder / "redis") as redis_server, PrivateRabbit(folder / "rabbit") as rabbit:
        async with running_archiver(
            folder, settings, redis_server=redis_server, rabbit=rabbit
        ) as ready:
            yield ready


async def test_forwarder_that_returns_after_a_long_rabbitmq_outage_is_paired_without_a_fault(
    own_archiver: ArchiverHarness,
) -> None:
    [forwarder] = await own_archiver.set(())
    await own_archiver.enable()
    name = await own_archiver.begun(forwarder)

    forwarder.kill()
    await asyncio.sleep(GRACE_S / 2)
    own_archiver.tap.close()
    own_archiver.rig.rabbit.kill()
    await asyncio.sleep(3 * GRACE_S)
    await own_archiver.rig.start_broker(own_archiver.rig.rabbit)
    await asyncio.sleep(1)
    own_archiver.rig.start_forwarder(forwarder.name)
    own_archiver.rig.end_exposure(name)

    await own_archiver.completed(name)
    assert own_archiver.sal.state == salobj.State.ENABLED
