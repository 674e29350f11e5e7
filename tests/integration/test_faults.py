"""Each error code, from the fault of the peer that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from tests.support.stage import queue_of

if TYPE_CHECKING:
    from tests.support.stage import Stage

SETTINGS = {"PAIR_TIMEOUT": 2, "REASSIGN_GRACE": 1}
"""Nobody comes to the rescue in these tests, so there is no use in waiting for one."""

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_5701_no_forwarder_on_the_list(stage: Stage) -> None:
    await stage.set()
    assert await stage.start_expecting_fault() == 5701


async def test_5752_no_forwarder_answers_the_pairing(stage: Stage) -> None:
    [forwarder] = await stage.set(("--mute", "ASSOCIATED"))
    assert await stage.start_expecting_fault() == 5752
    assert stage.tap.heard("ASSOCIATED", queue_of(forwarder.name))


async def test_a_stale_entry_on_the_list_is_passed_over(stage: Stage) -> None:
    dead, alive = await stage.set((), ())
    dead.kill()
    await stage.enable()
    assert stage.paired() == alive.name
    await stage.image()


async def test_5751_controller_is_mute_on_health_checks(stage: Stage) -> None:
    await stage.set((), controller=("--mute", "ARCHIVE_HEALTH_CHECK"))
    mark = stage.sal.mark
    await stage.enable()
    assert await stage.fault_after(mark) == 5751


async def test_5751_controller_dies(stage: Stage) -> None:
    await stage.set(())
    await stage.enable()
    mark = stage.sal.mark
    stage.rig.peers["controller"].kill()
    assert await stage.fault_after(mark) == 5751


async def test_5752_controller_does_not_accept_the_image(stage: Stage) -> None:
    await _fault_of_an_image(stage, 5752, controller=("--mute", "NEW_CC_ARCHIVE_ITEM"))


async def test_5752_forwarder_does_not_take_the_parameters(stage: Stage) -> None:
    await _fault_of_an_image(stage, 5752, forwarder=("--mute", "CC_FWDR_XFER_PARAMS"))


async def test_5753_forwarder_does_not_answer_end_readout(stage: Stage) -> None:
    await _fault_of_an_image(stage, 5753, forwarder=("--mute", "CC_FWDR_END_READOUT"))


async def test_5754_forwarder_does_not_answer_header_ready(stage: Stage) -> None:
    await _fault_of_an_image(stage, 5754, forwarder=("--mute", "CC_FWDR_HEADER_READY"))


async def test_5755_forwarder_dies_and_there_is_no_other(stage: Stage) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    mark = stage.sal.mark
    forwarder.kill()
    assert await stage.fault_after(mark) == 5755
    # A new one, standby and start, and all is well again.
    await stage.set(())
    await stage.enable()
    await stage.image()


async def _fault_of_an_image(
    stage: Stage, code: int, *, forwarder: tuple[str, ...] = (), controller: tuple[str, ...] = ()
) -> None:
    await stage.set(forwarder, controller=controller)
    await stage.enable()
    mark = stage.sal.mark
    stage.rig.take()
    assert await stage.fault_after(mark) == code
    assert stage.sal.state == salobj.State.FAULT
