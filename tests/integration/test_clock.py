"""The wall clock jumps by an hour in either direction: no image is lost and the jump is logged."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.testbed.sal_observer import END_READOUT
from tests.support.archiver_harness import LIMIT_S, PRESENCE_KEY, ArchiverHarness, running_archiver
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.brokers import VhostPool

HOUR_S = 3600
JUMPS_S = [HOUR_S, -HOUR_S]
"""Jumps on the same archiver; the second one restores the clock."""

# Extended: tests/core/test_clock.py and tests/health/test_housekeeping.py cover clock jumps.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]


class ClockJumpHarness:
    """An archiver, its peers and its Redis with a private wall clock."""

    def __init__(self, harness: ArchiverHarness, clock: FakeClock) -> None:
        self.harness = harness
        self.clock = clock

    def log_lines(self, worker: str, event: str) -> list[dict[str, object]]:
        """Return the lines of a worker's log with one event."""
        text = (self.harness.rig.folder.logs / f"ccarchiver_{worker}.log").read_text(
            encoding="utf-8"
        )
        return [line for line in map(json.loads, text.splitlines()) if line.get("event") == event]

    async def wait_logged(self, worker: str, event: str, count: int) -> None:
        """Wait until a worker has logged an event this many times."""
        await polling.wait_for(
            lambda: len(self.log_lines(worker, event)) >= count,
            LIMIT_S,
            f"{event} in the log of {worker}",
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jumping(
    tmp_path_factory: pytest.TempPathFactory,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
) -> AsyncIterator[ClockJumpHarness]:
    folder = tmp_path_factory.mktemp("clock")
    clock = FakeClock(folder)
    with PrivateRedis(folder / "redis", environment=clock.environment) as redis_server:
        async with running_archiver(
            folder,
            redis_server=redis_server,
            rabbit=rabbit_server,
            vhost=vhosts.take(),
            environment=clock.environment,
        ) as harness:
            yield ClockJumpHarness(harness, clock)


@pytest.mark.parametrize("by_s", JUMPS_S)
async def test_image_is_complete_after_a_clock_jump(jumping: ClockJumpHarness, by_s: int) -> None:
    harness = jumping.harness
    forwarder, _ = await harness.set((), ())
    await harness.enable()
    position = harness.sal.position
    await harness.image()
    name = await harness.begun(forwarder)
    before = len(jumping.log_lines("health", "clock.jumped"))
    jumping.clock.jump(by_s)
    await jumping.wait_logged("health", "clock.jumped", before + 1)
    assert jumping.log_lines("health", "clock.jumped")[-1]["by_s"] == pytest.approx(by_s, abs=60)
    harness.rig.end_exposure(name)
    await harness.completed(name)
    for _ in range(3):
        await harness.image()
    assert harness.sal.state == salobj.State.ENABLED
    assert not harness.sal.error_codes(since=position)


@pytest.mark.parametrize("by_s", JUMPS_S)
async def test_image_is_complete_after_a_clock_jump_while_the_csc_is_down(
    jumping: ClockJumpHarness, by_s: int
) -> None:
    harness = jumping.harness
    forwarder, _ = await harness.set((), ())
    await harness.enable()
    position = harness.sal.position
    await harness.image()
    begun = await harness.begun(forwarder)
    pid = harness.rig.supervisor.status()["sal"].pid
    assert pid is not None
    before = harness.sal.position
    os.kill(
        pid, signal.SIGKILL
    )  # supervisord restarts it within a second, but its imports take longer than this
    jumping.clock.jump(by_s)
    harness.rig.end_exposure(begun)
    whole = harness.rig.take()
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=whole)),
        LIMIT_S,
        "the camera's endReadout",
    )
    await harness.completed(begun)
    await harness.completed(whole)
    await harness.sal.wait_state(salobj.State.ENABLED, since=before)
    await harness.image()
    assert harness.sal.state == salobj.State.ENABLED
    assert not harness.sal.error_codes(since=position)


async def test_dead_forwarder_with_a_long_lived_presence_key_is_replaced(
    jumping: ClockJumpHarness,
) -> None:
    harness = jumping.harness
    first, second = await harness.set((), ())
    await harness.enable()
    # A reader takes the first events of a writer whose clock is behind for history. So the CSC
    # sends some before its clock is set back.
    await harness.image()
    position = harness.sal.position
    name = await harness.begun(first)
    jumping.clock.jump(-HOUR_S)
    # All Forwarders write the same key: only the last value of the dead one shall remain.
    second.freeze()
    first.kill()
    with harness.redis() as client:
        assert int(client.ttl(PRESENCE_KEY)) > HOUR_S / 2, "Redis expires it by its wall clock"
    await jumping.wait_logged("health", "forwarder.lost", 1)
    second.thaw()
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await polling.wait_for(
        lambda: harness.paired() == second.name, LIMIT_S, f"{second.name} to be paired"
    )
    assert not harness.sal.error_codes(since=position)
