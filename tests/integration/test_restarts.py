"""Each worker may be restarted or killed, and no image is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED
from ccarchiver_sim.testbed.supervisor import WORKERS
from tests.support.archiver_harness import LIMIT_S

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


# Extended: a worker that is restarted does less than one that is killed, see below.
@pytest.mark.extended
@pytest.mark.parametrize("worker", WORKERS)
async def test_restart_of_a_worker_between_two_images(harness: ArchiverHarness, worker: str) -> None:
    await harness.set(())
    await harness.enable()
    mark = harness.sal.mark
    await harness.image()
    before = harness.sal.mark
    await harness.rig.restart_worker(worker)
    await enabled(harness, worker, since=before)
    await harness.image()
    assert not harness.sal.error_codes(since=mark)


@pytest.mark.parametrize("worker", WORKERS)
async def test_death_of_a_worker_within_an_image(harness: ArchiverHarness, worker: str) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    mark = harness.sal.mark
    name = await harness.begun(forwarder)
    pid = harness.rig.supervisor.status()[worker].pid
    before = harness.sal.mark
    harness.rig.supervisor.kill_worker(worker)
    # While it is away: this is what it has to catch up with.
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await polling.wait_for(
        lambda: harness.rig.supervisor.status()[worker].pid not in {None, pid}, LIMIT_S, f"a new {worker} process"
    )
    await enabled(harness, worker, since=before)
    for topic in (RETRIEVED, INGESTED):
        assert len(harness.sal.of(topic, obsid=name)) == harness.expected
    assert not harness.sal.error_codes(since=mark)
    # And it is at its post again.
    await harness.image()


# Extended: each alone is above.
@pytest.mark.extended
async def test_all_three_at_once(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    before = harness.sal.mark
    for worker in WORKERS:
        harness.rig.supervisor.kill_worker(worker)
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await enabled(harness, "sal", since=before)
    await harness.image()


async def enabled(harness: ArchiverHarness, worker: str, *, since: int) -> None:
    """Wait until the CSC is ENABLED; it must have said so again, if it is what was started again."""
    await harness.sal.wait_state(salobj.State.ENABLED, since=since if worker == "sal" else 0)
