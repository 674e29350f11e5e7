"""Redis or RabbitMQ goes away with an image in flight, comes back, and nothing was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.sal_observer import END_READOUT
from tests.support.archiver_harness import LIMIT_S

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def test_redis_is_killed_within_an_image(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    harness.rig.redis.kill()
    # Kept in memory until Redis is back.
    harness.rig.end_exposure(name)
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=name)), LIMIT_S, "the camera's endReadout"
    )
    await harness.rig.start_broker(harness.rig.redis)
    await harness.completed(name)
    assert harness.sal.state == salobj.State.ENABLED
    await harness.image()


async def test_rabbitmq_is_killed_within_an_image(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    harness.tap.close()
    harness.rig.rabbit.kill()
    harness.rig.end_exposure(name)
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=name)), LIMIT_S, "the camera's endReadout"
    )
    await harness.rig.start_broker(harness.rig.rabbit)
    harness.tap_again()
    await harness.completed(name)
    assert harness.sal.state == salobj.State.ENABLED
    await harness.image()
