"""How a lost Forwarder is detected and its image passed to another one.

`benchmarks/` measures the time that this takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.peer_process import Peer
    from tests.support.archiver_harness import ArchiverHarness

HOUR_S = 3600

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


# Extended: test_takeover.py covers a killed Forwarder; here its presence key still exists.
@pytest.mark.extended
async def test_dead_forwarder_is_detected_by_its_consumer_before_its_key_expires(
    harness: ArchiverHarness,
) -> None:
    first, second, name, key = await _in_the_hands_of_the_first(harness)
    first.freeze()
    with harness.redis() as client:
        client.set(
            key, "pong", ex=HOUR_S
        )  # the Forwarder cannot renew the key now, so this is its lifetime
        first.kill()
        await _replayed(harness, second, name)
        assert client.exists(key), "the key exists, so the missing consumer showed the loss"
        client.delete(key)
    await _finish(harness, name)


async def test_hung_forwarder_is_detected_by_its_presence_key(harness: ArchiverHarness) -> None:
    first, second, name, key = await _in_the_hands_of_the_first(harness)
    first.freeze()
    try:
        await _replayed(harness, second, name)
        with harness.redis() as client:
            assert not client.exists(key), "the key has not expired, so it did not show the loss"
    finally:
        first.thaw()
    await _finish(harness, name)


async def _in_the_hands_of_the_first(harness: ArchiverHarness) -> tuple[Peer, Peer, str, str]:
    """Begin an image at the first of two Forwarders with separate presence keys.

    Return both, the image and the key of the first.
    """
    await harness.set()
    [first, second] = [
        await harness.add_forwarder("--presence-key", f"key_{number}") for number in range(2)
    ]
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
