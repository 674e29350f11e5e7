"""Commands of an operator on a running archiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.redis.client import make_client
from tests.core.redis_helpers import read_fields
from tests.support.ledger_builder import LedgerBuilder, fields_of
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness
    from tests.support.cli_server import CliServer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

WELL, MISSING = 0, 1


@pytest.fixture
def terminal(harness: ArchiverHarness, cli_server: CliServer) -> Terminal:
    return Terminal(cli_server, harness.rig)


async def test_commands_follow_an_exposure_from_first_to_last_event(
    harness: ArchiverHarness, terminal: Terminal
) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)

    await terminal.until_output("the camera's endReadout", "status")
    # Workers that have just started are an alarm for a moment.
    during = await terminal.until_output("no alarms", "status")
    assert during.code == WELL, during
    for part in (
        "CCArchiver ENABLED",
        "the camera's endReadout",
        f"{forwarder.name} on queue",
        name,
    ):
        assert part in during.words
    await terminal.until_output(
        "connected for", "status"
    )  # the bridge's heartbeat reports it, once a second

    harness.rig.end_exposure(name)
    await harness.completed(name)
    after = await terminal.until_output("state complete", "image", name)
    assert after.code == WELL
    for part in (
        "startIntegration received",
        "CC_FWDR_XFER_PARAMS answered",
        "22 S00 retrieved",
        "22 S22 ingested",
    ):
        assert part in after.words
    by_number = (await terminal.run("image", name.rpartition("_")[2].lstrip("0"), "--json")).json
    assert by_number["image"] == name
    assert {ccd["state"] for ccd in by_number["ccds"]} == {"ingested"}
    listed = (await terminal.run("images", "--state", "complete", "--json")).json
    assert listed[-1]["image"] == name
    # Other modules use the same archiver, and one of them takes an image that is skipped.
    summary = await terminal.run("night", "--json")
    night = summary.json
    assert [name in night[state] for state in ("missed", "skipped", "unfinished")] == [False] * 3
    assert night["well"] is not any(night[state] for state in ("missed", "skipped", "gaps"))
    assert summary.code == (WELL if night["well"] else MISSING)


async def test_records_of_the_ledger_builder_match_those_of_the_archiver(
    harness: ArchiverHarness, terminal: Terminal
) -> None:
    [listed] = (await terminal.run("images", "--state", "complete", "--json", "--last", "1")).json
    settings = load_settings(harness.rig.folder.site_file)
    redis = make_client(settings)
    try:
        ledger_builder = LedgerBuilder(redis, settings)
        real = fields_of(await read_fields(redis, listed["image"]))
        await ledger_builder.exposure("made", 0, 0.0)
        made = fields_of(await read_fields(redis, "made"))
        await redis.delete(keys.image("made"))
        await redis.zrem(keys.IMAGES, "made")
    finally:
        await redis.aclose()
    assert made == real
