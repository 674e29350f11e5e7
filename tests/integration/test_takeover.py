"""A Forwarder is lost during an image, and another one completes the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED
from tests.support.archiver_harness import LIMIT_S, queue_of

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.peer_process import Peer
    from tests.support.archiver_harness import ArchiverHarness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def test_image_is_complete_after_its_forwarder_is_killed(harness: ArchiverHarness) -> None:
    first, second = await harness.set((), ())
    await harness.enable()
    await paired_with(harness, first)
    name = await harness.begun(first)
    position = harness.sal.position
    first.kill()
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await paired_with(harness, second)
    order = [
        message["MSG_TYPE"]
        for message in harness.tap.published(key=queue_of(second.name), IMAGE_ID=name)
    ]
    assert order[0] == "CC_FWDR_XFER_PARAMS"
    await still_well(harness, position)


# The others are extended: tests/health/test_pairing.py covers each way to lose a Forwarder.
@pytest.mark.extended
async def test_image_is_complete_after_its_forwarder_is_killed_during_the_transfer(
    harness: ArchiverHarness,
) -> None:
    first, second = await harness.set(("--die-mid-transfer", "4"), ())
    await harness.enable()
    await paired_with(harness, first)
    position = harness.sal.position
    name = harness.rig.take()
    await harness.completed(name)
    assert not first.is_running
    await paired_with(harness, second)
    await still_well(harness, position)


@pytest.mark.extended
async def test_forwarder_that_does_not_acknowledge_is_replaced(harness: ArchiverHarness) -> None:
    _mute, second = await harness.set(("--mute", "CC_FWDR_XFER_PARAMS"), ())
    await harness.enable()
    position = harness.sal.position
    name = harness.rig.take()
    await harness.completed(name)
    await paired_with(harness, second)
    await still_well(harness, position)


@pytest.mark.extended
async def test_hung_forwarder_is_replaced(harness: ArchiverHarness) -> None:
    first, second = await harness.set((), ())
    await harness.enable()
    await paired_with(harness, first)
    position = harness.sal.position
    first.freeze()
    try:
        name = harness.rig.take()
        await harness.completed(name)
        await paired_with(harness, second)
    finally:
        first.thaw()
    # The first Forwarder now reads its messages; its statuses belong to an older epoch.
    await still_well(harness, position)
    for topic in (RETRIEVED, INGESTED):
        assert len(harness.sal.sensors(topic, name)) == harness.expected


@pytest.mark.extended
async def test_forwarder_that_returns_within_the_grace_time_is_paired_again(
    harness: ArchiverHarness,
) -> None:
    [first] = await harness.set(())
    await harness.enable()
    name = await harness.begun(first)
    position = harness.sal.position
    first.kill()
    back = await harness.add_forwarder()
    harness.rig.end_exposure(name)
    await harness.completed(name)
    await paired_with(harness, back)
    await still_well(harness, position)


@pytest.mark.extended
async def test_new_forwarders_without_queues_are_paired(harness: ArchiverHarness) -> None:
    await harness.set()
    forwarders = [await harness.add_new_forwarder() for _ in range(2)]
    await harness.enable()
    position = harness.sal.position
    await harness.image()
    # Health must still know the Forwarder that it did not pair: it registers only once.
    [paired] = [forwarder for forwarder in forwarders if forwarder.name == harness.paired()]
    paired.kill()
    await harness.completed(harness.rig.take())
    await still_well(harness, position)


async def paired_with(harness: ArchiverHarness, forwarder: Peer) -> None:
    await polling.wait_for(
        lambda: harness.paired() == forwarder.name,
        LIMIT_S,
        lambda: f"{forwarder.name} to be paired; it is {harness.paired()}",
    )


async def still_well(harness: ArchiverHarness, position: int) -> None:
    """Check that no error was published since a mark and that the next image works."""
    await harness.image()
    assert harness.sal.state == salobj.State.ENABLED
    assert not harness.sal.error_codes(since=position)
