"""What peers do wrong: each error code, from the fault that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.sal_observer import INGESTED
from tests.support.archiver_harness import LIMIT_S, queue_of

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness

SETTINGS = {"PAIR_TIMEOUT": 2, "REASSIGN_GRACE": 1}
"""Nobody comes to the rescue in these tests, so there is no use in waiting for one."""
CCDS = 9

# Extended: tests/bridge and tests/health have each of these faults with the code that it gives.
pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.asyncio(loop_scope="module")]


async def test_5701_no_forwarder_on_the_list(own_stage: ArchiverHarness) -> None:
    await own_stage.set()
    assert await own_stage.start_expecting_fault() == 5701


async def test_5752_no_forwarder_answers_the_pairing(own_stage: ArchiverHarness) -> None:
    [forwarder] = await own_stage.set(("--mute", "ASSOCIATED"))
    assert await own_stage.start_expecting_fault() == 5752
    assert own_stage.tap.heard("ASSOCIATED", queue_of(forwarder.name))


async def test_a_stale_entry_on_the_list_is_passed_over(own_stage: ArchiverHarness) -> None:
    dead, alive = await own_stage.set((), ())
    dead.kill()
    await own_stage.enable()
    assert own_stage.paired() == alive.name
    await own_stage.image()


async def test_5751_controller_is_mute_on_health_checks(own_stage: ArchiverHarness) -> None:
    await own_stage.set((), controller=("--mute", "ARCHIVE_HEALTH_CHECK"))
    mark = own_stage.sal.mark
    await own_stage.enable()
    assert await own_stage.fault_after(mark) == 5751


async def test_5751_controller_dies(own_stage: ArchiverHarness) -> None:
    await own_stage.set(())
    await own_stage.enable()
    mark = own_stage.sal.mark
    own_stage.rig.peers["controller"].kill()
    assert await own_stage.fault_after(mark) == 5751


async def test_5752_controller_does_not_accept_the_image(own_stage: ArchiverHarness) -> None:
    await _fault_of_an_image(own_stage, 5752, controller=("--mute", "NEW_CC_ARCHIVE_ITEM"))


async def test_5752_forwarder_does_not_take_the_parameters(own_stage: ArchiverHarness) -> None:
    await _fault_of_an_image(own_stage, 5752, forwarder=("--mute", "CC_FWDR_XFER_PARAMS"))


async def test_5753_forwarder_does_not_answer_end_readout(own_stage: ArchiverHarness) -> None:
    await _fault_of_an_image(own_stage, 5753, forwarder=("--mute", "CC_FWDR_END_READOUT"))


async def test_5754_forwarder_does_not_answer_header_ready(own_stage: ArchiverHarness) -> None:
    await _fault_of_an_image(own_stage, 5754, forwarder=("--mute", "CC_FWDR_HEADER_READY"))


async def test_5755_forwarder_dies_and_there_is_no_other(own_stage: ArchiverHarness) -> None:
    [forwarder] = await own_stage.set(())
    await own_stage.enable()
    mark = own_stage.sal.mark
    forwarder.kill()
    assert await own_stage.fault_after(mark) == 5755
    # A new one, standby and start, and all is well again.
    await own_stage.set(())
    await own_stage.enable()
    await own_stage.image()


async def test_reports_without_raft_and_sensor_give_an_event_each(own_stage: ArchiverHarness) -> None:
    await own_stage.set(())
    await own_stage.enable()
    await own_stage.rig.end_peers(["oods"])
    await own_stage.rig.start_oods("--no-raft").wait_ready()
    name = own_stage.rig.take()
    await polling.wait_for(lambda: len(own_stage.sal.of(INGESTED, obsid=name)) >= CCDS, LIMIT_S, "nine ingest events")
    events = own_stage.sal.of(INGESTED, obsid=name)
    assert len(events) == CCDS
    assert {(event.fields["raft"], event.fields["sensor"]) for event in events} == {("undef", "undef")}


async def _fault_of_an_image(
    own_stage: ArchiverHarness, code: int, *, forwarder: tuple[str, ...] = (), controller: tuple[str, ...] = ()
) -> None:
    await own_stage.set(forwarder, controller=controller)
    await own_stage.enable()
    mark = own_stage.sal.mark
    own_stage.rig.take()
    assert await own_stage.fault_after(mark) == code
    assert own_stage.sal.state == salobj.State.FAULT
