"""Two hosts with the same installation: one is active, the other is the standby and takes over."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_core.keys import Worker
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.wiretap import WireTap
from tests.support.archiver_harness import LIMIT_S, ArchiverHarness, short
from tests.support.brokers import VhostPool, empty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from ccarchiver_sim.testbed.host import Host

# Extended: tests/core/test_lease.py covers a holder that waits, is lost, or hands over.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]

NORTH, SOUTH = "north", "south"
BEFORE = 2
"""Number of images taken before the power loss."""
CADENCE_S = 1.0
"""Seconds from one image to the next during the outage; a site takes no more images."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    redis_server: PrivateRedis,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ArchiverHarness]:
    """Start two hosts; the first one is active."""
    empty(redis_server)
    settings = short(STANDBY=True)
    rig = Rig(
        settings,
        redis=redis_server,
        rabbit=rabbit_server,
        vhost=vhosts.take(),
        parent=tmp_path_factory.mktemp("s"),
    )
    try:
        async with rig:
            north, south = rig.add_host(NORTH), rig.add_host(SOUTH)
            north.supervisor.start()
            await rig.observer.wait_for_first_state()
            south.supervisor.start()
            with WireTap(rig.rabbit, rig.vhost) as tap:
                yield ArchiverHarness(rig, tap)
    finally:
        await rig.close()


async def test_second_host_is_standby(pair: ArchiverHarness) -> None:
    south = pair.rig.hosts[SOUTH]
    await stands_by(pair.rig.hosts[SOUTH])
    assert active(pair) == dict.fromkeys(Worker, NORTH)
    with pair.redis() as client:
        assert {json.loads(str(client.get(worker.standby)))["host"] for worker in Worker} == {SOUTH}
    assert {status.state for status in south.supervisor.status().values()} == {"RUNNING"}


async def test_standby_takes_over_after_a_power_loss_without_losing_an_image(
    pair: ArchiverHarness,
) -> None:
    [forwarder] = await pair.set(())
    await pair.enable()
    images = [await pair.image() for _ in range(BEFORE)]
    position, tokens = pair.sal.position, fencing_tokens(pair)

    images.append(pair.rig.take())
    await pair.sent_to(
        forwarder, "CC_FWDR_XFER_PARAMS", images[-1]
    )  # the power is lost during this image
    limit = Deadline(LIMIT_S)
    await asyncio.to_thread(pair.rig.hosts[NORTH].power_off)
    while active(pair) != dict.fromkeys(Worker, SOUTH):
        images.append(pair.rig.take())
        await asyncio.sleep(CADENCE_S)
        assert not limit.has_passed(), f"active: {active(pair)}"
    images.append(pair.rig.take())

    for image in images:
        await pair.completed(image)
    assert all(now > before for now, before in zip(fencing_tokens(pair), tokens, strict=True))
    assert pair.sal.state == salobj.State.ENABLED
    assert not pair.sal.error_codes(since=position)


async def test_first_host_returns_as_standby(pair: ArchiverHarness) -> None:
    north = pair.rig.hosts[NORTH]
    north.supervisor.start()
    await stands_by(north)
    await pair.image()
    assert active(pair) == dict.fromkeys(Worker, SOUTH)


async def test_stopped_host_hands_over_at_once(pair: ArchiverHarness) -> None:
    position = pair.sal.position
    await asyncio.to_thread(pair.rig.hosts[SOUTH].supervisor.stop)
    await polling.wait_for(
        lambda: active(pair) == dict.fromkeys(Worker, NORTH),
        LIMIT_S,
        lambda: f"{NORTH} to be active: {active(pair)}",
    )
    await pair.sal.wait_state(salobj.State.ENABLED, since=position)
    await pair.image()
    assert not pair.sal.error_codes(since=position)


async def stands_by(host: Host) -> None:
    """Wait until all three workers of a host have logged that they are the standby."""
    # Logs of an earlier run of the host have no such line: it was active then.
    await polling.wait_for(
        lambda: (
            {
                path.stem
                for path in host.logs.glob("*.out")
                if "lease.standby_started" in path.read_text()
            }
            >= set(Worker)
        ),
        LIMIT_S,
        lambda: f"three standby workers on {host.name}",
    )


def active(harness: ArchiverHarness) -> dict[Worker, str]:
    """Return the host that holds each worker's lease."""
    with harness.redis() as client:
        held = {worker: client.get(worker.lease) for worker in Worker}
    return {worker: json.loads(str(owner))["host"] for worker, owner in held.items() if owner}


def fencing_tokens(harness: ArchiverHarness) -> list[int]:
    """Return the fencing tokens of the leases."""
    with harness.redis() as client:
        return [int(str(client.get(worker.fencing_token))) for worker in Worker]
