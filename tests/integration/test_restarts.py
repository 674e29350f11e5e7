"""No image is lost when a worker is restarted or killed."""

from __future__ import annotations

import signal
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


# Extended, as the next one: kill-all of the short fault campaign covers the death of each worker.
@pytest.mark.extended
@pytest.mark.parametrize("worker", WORKERS)
async def test_images_are_complete_after_a_worker_restart(
    harness: ArchiverHarness, worker: str
) -> None:
    await harness.set(())
    await harness.enable()
    position = harness.sal.position
    await harness.image()
    before = harness.sal.position
    await harness.rig.restart_worker(worker)
    await enabled(harness, worker, since=before)
    await harness.image()
    assert not harness.sal.error_codes(since=position)


@pytest.mark.extended
@pytest.mark.parametrize("worker", WORKERS)
async def test_image_is_complete_after_a_worker_is_killed(
    harness: ArchiverHarness, worker: str
) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    position = harness.sal.position
    name = await harness.begun(forwarder)
    pid = harness.rig.supervisor.status()[worker].pid
    before = harness.sal.position
    harness.rig.supervisor.kill_worker(worker)
    # The worker must process this event after its restart.
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await polling.wait_for(
        lambda: harness.rig.supervisor.status()[worker].pid not in {None, pid},
        LIMIT_S,
        f"a new {worker} process",
    )
    await enabled(harness, worker, since=before)
    for topic in (RETRIEVED, INGESTED):
        assert len(harness.sal.of(topic, obsid=name)) == harness.expected
    assert not harness.sal.error_codes(since=position)
    # The new process works.
    await harness.image()


async def test_csc_terminated_from_outside_is_restarted_and_enabled(
    harness: ArchiverHarness,
) -> None:
    await harness.set(())
    await harness.enable()
    before = harness.sal.position
    harness.rig.supervisor.signal_worker("sal", signal.SIGTERM)
    await enabled(harness, "sal", since=before)
    await harness.image()


# Extended: the test above kills each worker separately.
@pytest.mark.extended
async def test_image_is_complete_after_all_workers_are_killed(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    before = harness.sal.position
    for worker in WORKERS:
        harness.rig.supervisor.kill_worker(worker)
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await enabled(harness, "sal", since=before)
    await harness.image()


async def enabled(harness: ArchiverHarness, worker: str, *, since: int) -> None:
    """Wait until the CSC is ENABLED; a restarted CSC must have published the state again."""
    await harness.sal.wait_state(salobj.State.ENABLED, since=since if worker == "sal" else 0)
