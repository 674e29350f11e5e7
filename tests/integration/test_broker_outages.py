"""No image is lost when Redis or RabbitMQ is killed during an image and restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.sal_observer import END_READOUT
from tests.support.archiver_harness import LIMIT_S

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness

pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,  # redis-killed and rabbitmq-killed of the short fault campaign cover it
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_image_is_complete_after_redis_is_killed(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    harness.rig.redis.kill()
    # The event is buffered in memory until Redis is back.
    harness.rig.end_exposure(name)
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=name)),
        LIMIT_S,
        "the camera's endReadout",
    )
    await harness.rig.start_broker(harness.rig.redis)
    await harness.completed(name)
    assert harness.sal.state == salobj.State.ENABLED
    await harness.image()


async def test_image_is_complete_after_rabbitmq_is_killed(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    harness.tap.close()
    harness.rig.rabbit.kill()
    harness.rig.end_exposure(name)
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=name)),
        LIMIT_S,
        "the camera's endReadout",
    )
    await harness.rig.start_broker(harness.rig.rabbit)
    harness.reconnect_tap()
    await harness.completed(name)
    assert harness.sal.state == salobj.State.ENABLED
    await harness.image()
