"""Redis or RabbitMQ goes away with an image in flight, comes back, and nothing was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_sim.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.rig import waiting
from ccarchiver_sim.rig.observer import END_READOUT
from tests.support.stage import LIMIT_S, Stage, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """An archiver with brokers that may be killed."""
    folder = tmp_path_factory.mktemp("outage")
    with PrivateRedis(folder / "redis") as redis_server, PrivateRabbit(folder / "rabbit") as rabbit:
        async with staged(folder, redis_server=redis_server, rabbit=rabbit) as ready:
            yield ready


async def test_redis_is_killed_within_an_image(own_stage: Stage) -> None:
    stage = own_stage
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


async def test_rabbitmq_is_killed_within_an_image(own_stage: Stage) -> None:
    stage = own_stage
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)
    stage.tap.close()
    stage.rig.rabbit.kill()
    stage.rig.end_exposure(name)
    await waiting.until(lambda: bool(stage.sal.of(END_READOUT, imageName=name)), LIMIT_S, "the camera's endReadout")
    await stage.rig.start_broker(stage.rig.rabbit)
    await stage.completed(name)
    assert stage.sal.state == salobj.State.ENABLED
    await stage.image()
