"""Faults of peers: each error code, caused by the fault that it stands for."""

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
"""Short times: no other Forwarder takes over in these tests."""
CCDS = 9

# Extended: tests/bridge and tests/health cover each of these faults with its code.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]


async def test_fault_5701_when_no_forwarder_is_listed(own_archiver: ArchiverHarness) -> None:
    await own_archiver.set()
    assert await own_archiver.start_expecting_fault() == 5701


async def test_fault_5752_when_no_forwarder_answers_the_association(
    own_archiver: ArchiverHarness,
) -> None:
    [forwarder] = await own_archiver.set(("--mute", "ASSOCIATED"))
    assert await own_archiver.start_expecting_fault() == 5752
    assert own_archiver.tap.published("ASSOCIATED", queue_of(forwarder.name))


async def test_stale_entry_in_the_forwarder_list_is_skipped(own_archiver: ArchiverHarness) -> None:
    dead, alive = await own_archiver.set((), ())
    dead.kill()
    await own_archiver.enable()
    assert own_archiver.paired() == alive.name
    await own_archiver.image()


async def test_fault_5751_when_the_controller_does_not_answer_health_checks(
    own_archiver: ArchiverHarness,
) -> None:
    await own_archiver.set((), controller=("--mute", "ARCHIVE_HEALTH_CHECK"))
    position = own_archiver.sal.position
    await own_archiver.enable()
    assert await own_archiver.fault_after(position) == 5751


async def test_fault_5751_when_the_controller_dies(own_archiver: ArchiverHarness) -> None:
    await own_archiver.set(())
    await own_archiver.enable()
    position = own_archiver.sal.position
    own_archiver.rig.peers["controller"].kill()
    assert await own_archiver.fault_after(position) == 5751


async def test_fault_5752_when_the_controller_rejects_the_image(
    own_archiver: ArchiverHarness,
) -> None:
    await _fault_of_an_image(own_archiver, 5752, controller=("--mute", "NEW_CC_ARCHIVE_ITEM"))


async def test_fault_5752_when_the_forwarder_does_not_acknowledge_the_parameters(
    own_archiver: ArchiverHarness,
) -> None:
    await _fault_of_an_image(own_archiver, 5752, forwarder=("--mute", "CC_FWDR_XFER_PARAMS"))


async def test_fault_5753_when_the_forwarder_does_not_acknowledge_end_readout(
    own_archiver: ArchiverHarness,
) -> None:
    await _fault_of_an_image(own_archiver, 5753, forwarder=("--mute", "CC_FWDR_END_READOUT"))


async def test_fault_5754_when_the_forwarder_does_not_acknowledge_header_ready(
    own_archiver: ArchiverHarness,
) -> None:
    await _fault_of_an_image(own_archiver, 5754, forwarder=("--mute", "CC_FWDR_HEADER_READY"))


async def test_fault_5755_when_the_forwarder_dies_without_a_replacement(
    own_archiver: ArchiverHarness,
) -> None:
    [forwarder] = await own_archiver.set(())
    await own_archiver.enable()
    position = own_archiver.sal.position
    forwarder.kill()
    assert await own_archiver.fault_after(position) == 5755
    # With a new Forwarder, standby and start, the archiver works again.
    await own_archiver.set(())
    await own_archiver.enable()
    await own_archiver.image()


async def test_status_messages_without_raft_and_sensor_give_an_event_each(
    own_archiver: ArchiverHarness,
) -> None:
    await own_archiver.set(())
    await own_archiver.enable()
    await own_archiver.rig.end_peers(["oods"])
    await own_archiver.rig.start_oods("--no-raft").wait_ready()
    name = own_archiver.rig.take()
    await polling.wait_for(
        lambda: len(own_archiver.sal.of(INGESTED, obsid=name)) >= CCDS,
        LIMIT_S,
        "nine ingest events",
    )
    events = own_archiver.sal.of(INGESTED, obsid=name)
    assert len(events) == CCDS
    assert {(event.fields["raft"], event.fields["sensor"]) for event in events} == {
        ("undef", "undef")
    }


async def _fault_of_an_image(
    own_archiver: ArchiverHarness,
    code: int,
    *,
    forwarder: tuple[str, ...] = (),
    controller: tuple[str, ...] = (),
) -> None:
    await own_archiver.set(forwarder, controller=controller)
    await own_archiver.enable()
    position = own_archiver.sal.position
    own_archiver.rig.take()
    assert await own_archiver.fault_after(position) == code
    assert own_archiver.sal.state == salobj.State.FAULT
