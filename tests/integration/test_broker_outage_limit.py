"""A broker outage beyond BROKER_OUTAGE_LIMIT is a FAULT; a new start completes the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.testbed.sal_observer import END_READOUT
from tests.support.archiver_harness import LIMIT_S, ArchiverHarness, running_archiver, short

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.testbed.brokers.server import PrivateServer

LIMIT = 3
PAIR_TIMEOUT = 30
"""A Forwarder without its archiver registers again within 10 s."""

# Extended: tests/sal and tests/health cover these codes; test_broker_outages.py a short outage.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_archiver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ArchiverHarness]:
    folder = tmp_path_factory.mktemp("outage")
    settings = short(BROKER_OUTAGE_LIMIT=LIMIT, PAIR_TIMEOUT=PAIR_TIMEOUT)
    with PrivateRedis(folder / "redis") as redis_server, PrivateRabbit(folder / "rabbit") as rabbit:
        async with running_archiver(
            folder, settings, redis_server=redis_server, rabbit=rabbit
        ) as ready:
            yield ready


async def test_fault_5701_after_a_long_redis_outage(own_archiver: ArchiverHarness) -> None:
    redis_server = own_archiver.rig.redis
    code, report = await _fault_and_recovery(own_archiver, redis_server)
    assert code == 5701
    assert f"Redis at 127.0.0.1:{redis_server.port}" in report
    assert "refused the connection" in report


async def test_fault_5071_after_a_long_rabbitmq_outage(own_archiver: ArchiverHarness) -> None:
    rabbit = own_archiver.rig.rabbit
    code, report = await _fault_and_recovery(own_archiver, rabbit)
    assert code == 5071
    assert f"127.0.0.1:{rabbit.port}" in report


async def _fault_and_recovery(harness: ArchiverHarness, broker: PrivateServer) -> tuple[int, str]:
    """Stop a broker during an image; return the error once a new start has completed the image."""
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    position = harness.sal.position
    if broker is harness.rig.rabbit:
        harness.tap.close()
    broker.kill()
    await harness.fault_after(position)
    error = harness.sal.last_error()
    harness.rig.end_exposure(name)
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=name)),
        LIMIT_S,
        "the camera's endReadout",
    )
    await harness.rig.start_broker(broker)
    await harness.enable()
    await harness.completed(name)
    await harness.image()
    assert harness.sal.state == salobj.State.ENABLED
    return error
