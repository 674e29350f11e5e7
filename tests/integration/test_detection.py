"""How long a Forwarder's death takes to show, and the images in its hands to be another one's.

No assertion is on a time alone: what is promised is a key's life and two seconds more, what is allowed is several times
the two seconds, since the machine may be busy. The figures are logged; `pytest --log-cli-level=INFO` shows them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.rig import waiting
from tests.support.stage import LIMIT_S, queue_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_sim.rig.peer import Peer
    from tests.support.stage import Stage

PROMISED_S = 2.0
"""From when a death can be seen (its key has ended, or its consumer is gone) to the first message to the next one."""
NOISE = 6
"""So many times the promise are allowed."""

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_one_that_dies_shows_by_its_consumer_before_its_key_ends(stage: Stage) -> None:
    first, second, name, key = await _in_the_hands_of_the_first(stage)
    began = time.monotonic()
    first.kill()
    replayed = await _replayed(stage, second, name)
    with stage.redis() as client:
        left = client.ttl(key)
    _log.info("killed: first message to the next one after %.2f s (its key: %s s left)", replayed - began, left)
    assert left > 0, "its key had not ended, so it was its consumer that told"
    await _finish(stage, name)


async def test_one_that_hangs_shows_by_its_key_alone(stage: Stage) -> None:
    first, second, name, key = await _in_the_hands_of_the_first(stage)
    with stage.redis() as client:
        began = time.monotonic()
        first.freeze()
        try:
            life_s = client.pttl(key) / 1000
            ended = asyncio.create_task(_moment(lambda: not client.exists(key), f"{key} to end"))
            replayed = await _replayed(stage, second, name)
            key_ended = await ended
        finally:
            first.thaw()
    _log.info(
        "frozen: its key ended after %.2f s (it had %.2f s to live), first message to the next one %.2f s later",
        key_ended - began,
        life_s,
        replayed - key_ended,
    )
    assert replayed > key_ended, "nothing but its key can have told"
    assert replayed - key_ended < NOISE * PROMISED_S
    await _finish(stage, name)


async def _in_the_hands_of_the_first(stage: Stage) -> tuple[Peer, Peer, str, str]:
    """Begin an image at the first of two Forwarders, each with a key of its own; return them, the image and the key."""
    await stage.set()
    [first, second] = [await stage.add_forwarder("--presence-key", f"key_{number}") for number in range(2)]
    await stage.enable()
    assert stage.paired() == first.name
    await stage.image()
    name = await stage.begun(first)
    return first, second, name, "key_0"


async def _replayed(stage: Stage, forwarder: Peer, name: str) -> float:
    return await _moment(
        lambda: bool(stage.tap.heard("CC_FWDR_XFER_PARAMS", queue_of(forwarder.name), IMAGE_ID=name)),
        f"{name} to be {forwarder.name}'s",
    )


async def _moment(condition: Callable[[], bool], what: str) -> float:
    await waiting.until(condition, LIMIT_S, what)
    return time.monotonic()


async def _finish(stage: Stage, name: str) -> None:
    stage.rig.end_exposure(name)
    await stage.completed(name)
