"""Exposures without faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest
from lsst.ts import salobj

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.delivery_check import check_delivery, count_files
from ccarchiver_sim.testbed.sal_observer import END_READOUT, INGESTED, RETRIEVED
from tests.support.archiver_harness import LIMIT_S, queue_of

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

CCDS = {("22", f"S{board}{ccd}") for board in range(3) for ccd in range(3)}


async def test_one_image_is_archived_end_to_end(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.image()
    for topic in (RETRIEVED, INGESTED):
        events = harness.sal.of(topic, obsid=name)
        assert {(event.fields["raft"], event.fields["sensor"]) for event in events} == CCDS
        assert len(events) == len(CCDS)
        assert {event.fields["camera"] for event in events} == {"COMCAM"}
        assert {event.fields["archiverName"] for event in events} == {"CCArchiver"}
        assert {event.fields["statusCode"] for event in events} == {0}
    assert not harness.sal.error_codes()
    # One job number in all messages of the image, and the message order that saves the image.
    to_forwarder = [
        message
        for message in harness.tap.published(key=queue_of(forwarder.name), IMAGE_ID=name)
        if message["MSG_TYPE"].startswith("CC_FWDR_")
    ]
    assert to_forwarder[0]["MSG_TYPE"] == "CC_FWDR_XFER_PARAMS"
    assert {message["MSG_TYPE"] for message in to_forwarder[1:]} == {
        "CC_FWDR_END_READOUT",
        "CC_FWDR_HEADER_READY",
    }
    [item] = harness.tap.published("NEW_CC_ARCHIVE_ITEM", IMAGE_ID=name)
    numbers = {message["JOB_NUM"] for message in (item, *to_forwarder) if "JOB_NUM" in message}
    assert numbers == {item["JOB_NUM"]}


async def test_images_in_quick_succession_are_kept_separate(harness: ArchiverHarness) -> None:
    await harness.set(())
    await harness.enable()
    names = [harness.rig.take(exposure=0.0) for _ in range(5)]
    for name in names:
        await harness.completed(name)
        assert len(harness.sal.of(INGESTED, obsid=name)) == len(CCDS)
    numbers = [
        harness.tap.published("NEW_CC_ARCHIVE_ITEM", IMAGE_ID=name)[0]["JOB_NUM"] for name in names
    ]
    assert numbers == sorted(set(numbers))


async def test_overlapping_exposures_are_both_complete(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    first = await harness.begun(forwarder)
    second = await harness.begun(forwarder)
    harness.rig.end_exposure(first)
    harness.rig.end_exposure(second)
    for name in (first, second):
        await harness.completed(name)
        [item] = harness.tap.published("NEW_CC_ARCHIVE_ITEM", IMAGE_ID=name)
        [readout] = harness.tap.published("CC_FWDR_END_READOUT", IMAGE_ID=name)
        assert readout["JOB_NUM"] == item["JOB_NUM"]


async def test_image_taken_while_disabled_is_skipped(harness: ArchiverHarness) -> None:
    await harness.set(())
    await harness.sal.go_to(salobj.State.DISABLED)
    skipped = harness.rig.take()
    await polling.wait_for(
        lambda: bool(harness.sal.of(END_READOUT, imageName=skipped)), LIMIT_S, "the camera"
    )
    await harness.enable()
    # The next image has passed the same stages, so no event of the first is outstanding.
    await harness.image()
    assert not harness.tap.published("NEW_CC_ARCHIVE_ITEM", IMAGE_ID=skipped)
    assert count_files(harness.rig.folder.oods_staging, skipped) == 0
    assert check_delivery(harness.sal, harness.rig.folder, skipped).retrieved == 0


async def test_standby_releases_the_forwarder(harness: ArchiverHarness) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    assert harness.paired() == forwarder.name
    await harness.sal.go_to(salobj.State.STANDBY)
    # The key is deleted, not left to expire: expiry would take up to 10 s more.
    await polling.wait_for(
        lambda: harness.paired() is None, LIMIT_S, "the association key to be removed"
    )
    await harness.enable()
    await harness.image()


async def test_password_is_in_no_log(harness: ArchiverHarness) -> None:
    password = harness.rig.rabbit.password
    for path in harness.rig.folder.logs.iterdir():
        assert password not in path.read_text(encoding="utf-8", errors="replace"), path
    for process in psutil.process_iter(["cmdline"]):
        assert password not in " ".join(process.info["cmdline"] or [])
