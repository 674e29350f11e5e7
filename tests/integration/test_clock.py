"""The machine's clock is set by an hour, either way: no image is lost, and the archiver says what happened."""

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
from tests.support.archiver_harness import LIMIT_S, PRESENCE_KEY, ArchiverHarness, staged
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.brokers import VhostPool

HOUR_S = 3600
STEPS_S = [HOUR_S, -HOUR_S]
"""One after the other on the same archiver: the second brings the clock back."""

# Extended: tests/core/test_clock.py and tests/health/test_housekeeping.py have a clock that is set.
pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.asyncio(loop_scope="module")]


class SteppedStage:
    """An archiver, its peers and its Redis with a clock of their own."""

    def __init__(self, harness: ArchiverHarness, clock: FakeClock) -> None:
        self.harness = harness
        self.clock = clock

    def told(self, worker: str, event: str) -> list[dict[str, object]]:
        """Lines of a worker's log about one event."""
        text = (self.harness.rig.folder.logs / f"ccarchiver_{worker}.log").read_text(encoding="utf-8")
        return [line for line in map(json.loads, text.splitlines()) if line.get("event") == event]

    async def wait_told(self, worker: str, event: str, count: int) -> None:
        """Wait until a worker has logged an event so many times."""
        await polling.wait_for(
            lambda: len(self.told(worker, event)) >= count, LIMIT_S, f"{event} in the log of {worker}"
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stepped(
    tmp_path_factory: pytest.TempPathFactory,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
) -> AsyncIterator[SteppedStage]:
    folder = tmp_path_factory.mktemp("clock")
    clock = FakeClock(folder)
    with PrivateRedis(folder / "redis", environment=clock.environment) as redis_server:
        async with staged(
            folder,
            redis_server=redis_server,
            rabbit=rabbit_server,
            vhost=vhosts.take(),
            environment=clock.environment,
        ) as harness:
            yield SteppedStage(harness, clock)


@pytest.mark.parametrize("by_s", STEPS_S)
async def test_a_step_within_an_image(stepped: SteppedStage, by_s: int) -> None:
    harness = stepped.harness
    forwarder, _ = await harness.set((), ())
    await harness.enable()
    mark = harness.sal.mark
    await harness.image()
    name = await harness.begun(forwarder)
    before = len(stepped.told("health", "clock.jumped"))
    stepped.clock.step(by_s)
    await stepped.wait_told("health", "clock.jumped", before + 1)
    assert stepped.told("health", "clock.jumped")[-1]["by_s"] == pytest.approx(by_s, abs=60)
    harness.rig.end_exposure(name)
    await harness.completed(name)
    for _ in range(3):
        await harness.image()
    assert harness.sal.state == salobj.State.ENABLED
    assert not harness.sal.error_codes(since=mark)


@pytest.mark.parametrize("by_s", STEPS_S)
async def test_a_step_while_the_csc_is_away_and_an_image_is_taken(stepped: SteppedStage, by_s: int) -> None:
    harness = stepped.harness
    forwarder, _ = await harness.set((), ())
    await harness.enable()
    mark = harness.sal.mark
    await harness.image()
    begun = await harness.begun(forwarder)
    pid = harness.rig.supervisor.status()["sal"].pid
    assert pid is not None
    before = harness.sal.mark
    os.kill(pid, signal.SIGKILL)  # supervisord has it back in a second, but importing takes it longer than this
    stepped.clock.step(by_s)
    harness.rig.end_exposure(begun)
    whole = harness.rig.take()
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=whole)), LIMIT_S, "the camera's endReadout"
    )
    await harness.completed(begun)
    await harness.completed(whole)
    await harness.sal.wait_state(salobj.State.ENABLED, since=before)
    await harness.image()
    assert harness.sal.state == salobj.State.ENABLED
    assert not harness.sal.error_codes(since=mark)


async def test_a_forwarder_whose_key_outlives_it_by_an_hour_is_replaced(stepped: SteppedStage) -> None:
    harness = stepped.harness
    first, second = await harness.set((), ())
    await harness.enable()
    mark = harness.sal.mark
    name = await harness.begun(first)
    stepped.clock.step(-HOUR_S)
    second.freeze()  # all Forwarders of a site write the same key: only the dead one's last beat shall be there
    first.kill()
    with harness.redis() as client:
        assert int(client.ttl(PRESENCE_KEY)) > HOUR_S / 2, "Redis ends it by its wall clock"
    await stepped.wait_told("health", "forwarder.lost", 1)
    second.thaw()
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await polling.wait_for(lambda: harness.paired() == second.name, LIMIT_S, f"{second.name} to be paired")
    assert not harness.sal.error_codes(since=mark)
