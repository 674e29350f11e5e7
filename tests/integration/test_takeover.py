"""A Forwarder is lost with an image in its hands, and another one finishes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.rig import waiting
from ccarchiver_sim.rig.observer import INGESTED, RETRIEVED
from tests.support.stage import LIMIT_S, queue_of

if TYPE_CHECKING:
    from ccarchiver_sim.rig.peer import Peer
    from tests.support.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def test_killed_within_an_image(stage: Stage) -> None:
    first, second = await stage.set((), ())
    await stage.enable()
    await paired_with(stage, first)
    name = await stage.begun(first)
    mark = stage.sal.mark
    first.kill()
    stage.rig.end_exposure(name)
    await stage.completed(name)
    await paired_with(stage, second)
    order = [message["MSG_TYPE"] for message in stage.tap.heard(key=queue_of(second.name), IMAGE_ID=name)]
    assert order[0] == "CC_FWDR_XFER_PARAMS"
    await still_well(stage, mark)


# The others are extended: tests/health/test_pairing.py has each way to lose a Forwarder.
@pytest.mark.extended
async def test_killed_in_the_middle_of_its_files(stage: Stage) -> None:
    first, second = await stage.set(("--die-mid-transfer", "4"), ())
    await stage.enable()
    await paired_with(stage, first)
    mark = stage.sal.mark
    name = stage.rig.take()
    await stage.completed(name)
    assert not first.is_running
    await paired_with(stage, second)
    await still_well(stage, mark)


@pytest.mark.extended
async def test_one_that_acknowledges_nothing_is_replaced(stage: Stage) -> None:
    _mute, second = await stage.set(("--mute", "CC_FWDR_XFER_PARAMS"), ())
    await stage.enable()
    mark = stage.sal.mark
    name = stage.rig.take()
    await stage.completed(name)
    await paired_with(stage, second)
    await still_well(stage, mark)


@pytest.mark.extended
async def test_one_that_hangs_is_replaced(stage: Stage) -> None:
    first, second = await stage.set((), ())
    await stage.enable()
    await paired_with(stage, first)
    mark = stage.sal.mark
    first.freeze()
    try:
        name = stage.rig.take()
        await stage.completed(name)
        await paired_with(stage, second)
    finally:
        first.thaw()
    # The first one now finds its mail, and whatever it says of the image is of an older epoch.
    await still_well(stage, mark)
    for topic in (RETRIEVED, INGESTED):
        assert len(stage.sal.sensors(topic, name)) == stage.expected


@pytest.mark.extended
async def test_one_that_comes_back_within_the_grace_is_taken_again(stage: Stage) -> None:
    [first] = await stage.set(())
    await stage.enable()
    name = await stage.begun(first)
    mark = stage.sal.mark
    first.kill()
    back = await stage.add_forwarder()
    stage.rig.end_exposure(name)
    await stage.completed(name)
    await paired_with(stage, back)
    await still_well(stage, mark)


@pytest.mark.extended
async def test_new_forwarders_whose_queues_were_never_made(stage: Stage) -> None:
    await stage.set()
    forwarders = [await stage.add_new_forwarder() for _ in range(2)]
    await stage.enable()
    mark = stage.sal.mark
    await stage.image()
    # Whichever it took, it must not have forgotten the other one, which lists itself only once.
    [paired] = [forwarder for forwarder in forwarders if forwarder.name == stage.paired()]
    paired.kill()
    await stage.completed(stage.rig.take())
    await still_well(stage, mark)


async def paired_with(stage: Stage, forwarder: Peer) -> None:
    await waiting.until(
        lambda: stage.paired() == forwarder.name,
        LIMIT_S,
        lambda: f"{forwarder.name} to be paired; it is {stage.paired()}",
    )


async def still_well(stage: Stage, mark: int) -> None:
    """Nothing was reported since, and the next image works."""
    await stage.image()
    assert stage.sal.state == salobj.State.ENABLED
    assert not stage.sal.error_codes(since=mark)
