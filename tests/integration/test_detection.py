"""By what a Forwarder's death shows, and that the image in its hands becomes another one's.

How long that takes is measured by `benchmarks/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.peer_process import Peer
    from tests.support.archiver_harness import ArchiverHarness

HOUR_S = 3600

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


# Extended: test_takeover.py has a Forwarder that is killed; here its key cannot have told of it.
@pytest.mark.extended
async def test_one_that_dies_shows_by_its_consumer_before_its_key_ends(harness: ArchiverHarness) -> None:
    first, second, name, key = await _in_the_hands_of_the_first(harness)
    first.freeze()
    with harness.redis() as client:
        client.set(key, "pong", ex=HOUR_S)  # it cannot renew it now, so this is how long the key is there
        first.kill()
        await _replayed(harness, second, name)
        assert client.exists(key), "its key had not ended, so it was its consumer that told"
        client.delete(key)
    await _finish(harness, name)


async def test_one_that_hangs_shows_by_its_key_alone(harness: ArchiverHarness) -> None:
    first, second, name, key = await _in_the_hands_of_the_first(harness)
    first.freeze()
    try:
        await _replayed(harness, second, name)
        with harness.redis() as client:
            assert not client.exists(key), "nothing but its key can have told"
    finally:
        first.thaw()
    await _finish(harness, name)


async def _in_the_hands_of_the_first(harness: ArchiverHarness) -> tuple[Peer, Peer, str, str]:
    """Begin an image at the first of two Forwarders, each with a key of its own; return them, the image and the key."""
    await harness.set()
    [first, second] = [await harness.add_forwarder("--presence-key", f"key_{number}") for number in range(2)]
    await harness.enable()
    assert harness.paired() == first.name
    await harness.image()
    name = await harness.begun(first)
    return first, second, name, "key_0"


async def _replayed(harness: ArchiverHarness, forwarder: Peer, name: str) -> None:
    await harness.sent_to(forwarder, "CC_FWDR_XFER_PARAMS", name)


async def _finish(harness: ArchiverHarness, name: str) -> None:
    harness.rig.end_exposure(name)
    await harness.completed(name)
