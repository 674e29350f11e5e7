"""Redis or RabbitMQ goes away with an image in flight, comes back, and nothing was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.rig import waiting
from ccarchiver_sim.rig.observer import END_READOUT
from tests.support.stage import LIMIT_S

if TYPE_CHECKING:
    from tests.support.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def test_redis_is_killed_within_an_image(stage: Stage) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)
    stage.rig.redis.kill()
    # Kept in memory until Redis is back.
    stage.rig.end_exposure(name)
    await waiting.until(lambda: bool(stage.sal.of(END_READOUT, imageName=name)), LIMIT_S, "the camera's endReadout")
    await stage.rig.start_broker(stage.rig.redis)
    await stage.completed(name)
    assert stage.sal.state == salobj.State.ENABLED
    await stage.image()


async def test_rabbitmq_is_killed_within_an_image(stage: Stage) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)
    stage.tap.close()
    stage.rig.rabbit.kill()
    stage.rig.end_exposure(name)
    await waiting.until(lambda: bool(stage.sal.of(END_READOUT, imageName=name)), LIMIT_S, "the camera's endReadout")
    await stage.rig.start_broker(stage.rig.rabbit)
    stage.tap_again()
    await stage.completed(name)
    assert stage.sal.state == salobj.State.ENABLED
    await stage.image()
