"""Each worker may be restarted or killed, and no image is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.rig import waiting
from ccarchiver_sim.rig.observer import INGESTED, RETRIEVED
from ccarchiver_sim.rig.supervisor import WORKERS
from tests.support.stage import LIMIT_S

if TYPE_CHECKING:
    from tests.support.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("worker", WORKERS)
async def test_restart_of_a_worker_between_two_images(stage: Stage, worker: str) -> None:
    await stage.set(())
    await stage.enable()
    mark = stage.sal.mark
    await stage.image()
    await stage.rig.restart_worker(worker)
    await stage.sal.wait_state(salobj.State.ENABLED)
    await stage.image()
    assert not stage.sal.error_codes(since=mark)


@pytest.mark.parametrize("worker", WORKERS)
async def test_death_of_a_worker_within_an_image(stage: Stage, worker: str) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    mark = stage.sal.mark
    name = await stage.begun(forwarder)
    pid = stage.rig.supervisor.status()[worker].pid
    stage.rig.supervisor.kill_worker(worker)
    # While it is away: this is what it has to catch up with.
    stage.rig.end_exposure(name)
    await stage.completed(name)
    await waiting.until(
        lambda: stage.rig.supervisor.status()[worker].pid not in {None, pid}, LIMIT_S, f"a new {worker} process"
    )
    await stage.sal.wait_state(salobj.State.ENABLED)
    for topic in (RETRIEVED, INGESTED):
        assert len(stage.sal.of(topic, obsid=name)) == stage.expected
    assert not stage.sal.error_codes(since=mark)
    # And it is at its post again.
    await stage.image()


async def test_all_three_at_once(stage: Stage) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)
    for worker in WORKERS:
        stage.rig.supervisor.kill_worker(worker)
    stage.rig.end_exposure(name)
    await stage.completed(name)
    await stage.sal.wait_state(salobj.State.ENABLED)
    await stage.image()
