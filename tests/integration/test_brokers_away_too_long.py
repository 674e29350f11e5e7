"""A broker stays away for longer than BROKER_AWAY_LIMIT: FAULT, and an operator's start delivers what was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_sim.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.rig import waiting
from ccarchiver_sim.rig.observer import END_READOUT
from tests.support.stage import LIMIT_S, Stage, short, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.brokers.server import PrivateServer

LIMIT = 3
PAIR_TIMEOUT = 30
"""A Forwarder that has lost its archiver lists itself within 10 s."""

# Extended: tests/sal and tests/health have these codes; test_broker_outages.py has a broker that comes back in time.
pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("away")
    settings = short(BROKER_AWAY_LIMIT=LIMIT, PAIR_TIMEOUT=PAIR_TIMEOUT)
    with PrivateRedis(folder / "redis") as redis_server, PrivateRabbit(folder / "rabbit") as rabbit:
        async with staged(folder, settings, redis_server=redis_server, rabbit=rabbit) as ready:
            yield ready


async def test_5701_redis(own_stage: Stage) -> None:
    redis_server = own_stage.rig.redis
    code, report = await _fault_and_recovery(own_stage, redis_server)
    assert code == 5701
    assert f"Redis at 127.0.0.1:{redis_server.port}" in report
    assert "does not answer" in report


async def test_5071_rabbitmq(own_stage: Stage) -> None:
    rabbit = own_stage.rig.rabbit
    code, report = await _fault_and_recovery(own_stage, rabbit)
    assert code == 5071
    assert f"127.0.0.1:{rabbit.port}" in report


async def _fault_and_recovery(stage: Stage, broker: PrivateServer) -> tuple[int, str]:
    """Take a broker away within an image; return the error, when the image is complete after an operator's start."""
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)
    mark = stage.sal.mark
    if broker is stage.rig.rabbit:
        stage.tap.close()
    broker.kill()
    await stage.fault_after(mark)
    error = stage.sal.last_error()
    stage.rig.end_exposure(name)
    await waiting.until(lambda: bool(stage.sal.of(END_READOUT, imageName=name)), LIMIT_S, "the camera's endReadout")
    await stage.rig.start_broker(broker)
    await stage.enable()
    await stage.completed(name)
    await stage.image()
    assert stage.sal.state == salobj.State.ENABLED
    return error
