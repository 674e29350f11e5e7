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

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


# Extended: a worker that is restarted does less than one that is killed, see below.
@pytest.mark.extended
@pytest.mark.parametrize("worker", WORKERS)
async def test_restart_of_a_worker_between_two_images(stage: Stage, worker: str) -> None:
    await stage.set(())
    await stage.enable()
    mark = stage.sal.mark
    await stage.image()
    before = stage.sal.mark
    await stage.rig.restart_worker(worker)
    await enabled(stage, worker, since=before)
    await stage.image()
    assert not stage.sal.error_codes(since=mark)


@pytest.mark.parametrize("worker", WORKERS)
async def test_death_of_a_worker_within_an_image(stage: Stage, worker: str) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    mark = stage.sal.mark
    name = await stage.begun(forwarder)
    pid = stage.rig.supervisor.status()[worker].pid
    before = stage.sal.mark
    stage.rig.supervisor.kill_worker(worker)
    # While it is away: this is what it has to catch up with.
    stage.rig.end_exposure(name)
    await stage.completed(name)
    await waiting.until(
        lambda: stage.rig.supervisor.status()[worker].pid not in {None, pid}, LIMIT_S, f"a new {worker} process"
    )
    await enabled(stage, worker, since=before)
    for topic in (RETRIEVED, INGESTED):
        assert len(stage.sal.of(topic, obsid=name)) == stage.expected
    assert not stage.sal.error_codes(since=mark)
    # And it is at its post again.
    await stage.image()


# Extended: each alone is above.
@pytest.mark.extended
async def test_all_three_at_once(stage: Stage) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)
    before = stage.sal.mark
    for worker in WORKERS:
        stage.rig.supervisor.kill_worker(worker)
    stage.rig.end_exposure(name)
    await stage.completed(name)
    await enabled(stage, "sal", since=before)
    await stage.image()


async def enabled(stage: Stage, worker: str, *, since: int) -> None:
    """Wait until the CSC is ENABLED; it must have said so again, if it is what was started again."""
    await stage.sal.wait_state(salobj.State.ENABLED, since=since if worker == "sal" else 0)
