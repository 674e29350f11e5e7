"""What an operator does, with the whole archiver at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.store import ledger
from tests.support.ledger_builder import LedgerBuilder, fields_of
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness
    from tests.support.cli_server import CliServer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

WELL = 0


@pytest.fixture
def terminal(harness: ArchiverHarness, cli_server: CliServer) -> Terminal:
    return Terminal(cli_server, harness.rig)


async def test_an_exposure_is_followed_from_its_first_event_to_its_last(
    harness: ArchiverHarness, terminal: Terminal
) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)

    await terminal.until_answered("the camera's endReadout", "status")
    during = await terminal.until_answered("no alarms", "status")  # workers that have just started are one for a moment
    assert during.code == WELL, during
    for part in ("CCArchiver ENABLED", "the camera's endReadout", f"{forwarder.name} on queue", name):
        assert part in during.words
    await terminal.until_answered("connected for", "status")  # the bridge's vital signs say so, once a second

    harness.rig.end_exposure(name)
    await harness.completed(name)
    after = await terminal.until_answered("state complete", "image", name)
    assert after.code == WELL
    for part in ("startIntegration heard", "CC_FWDR_XFER_PARAMS answered", "22 S00 retrieved", "22 S22 ingested"):
        assert part in after.words
    by_number = (await terminal.type_in("image", name.rpartition("_")[2].lstrip("0"), "--json")).json
    assert by_number["image"] == name
    assert {ccd["state"] for ccd in by_number["ccds"]} == {"ingested"}
    listed = (await terminal.type_in("images", "--state", "complete", "--json")).json
    assert listed[-1]["image"] == name
    night = await terminal.type_in("night")
    assert (night.code, "complete: nothing is missing" in night.words) == (WELL, True), night


async def test_the_records_other_tests_make_are_those_of_the_archiver(
    harness: ArchiverHarness, terminal: Terminal
) -> None:
    [listed] = (await terminal.type_in("images", "--state", "complete", "--json", "--last", "1")).json
    settings = load_settings(harness.rig.folder.site_file)
    redis = make_client(settings)
    try:
        ledger_builder = LedgerBuilder(redis, settings)
        real = fields_of(await ledger.read_record(redis, listed["image"]))
        await ledger_builder.exposure("made", 0, 0.0)
        made = fields_of(await ledger.read_record(redis, "made"))
        await redis.delete(keys.image("made"))
        await redis.zrem(keys.IMAGES, "made")
    finally:
        await redis.aclose()
    assert made == real
