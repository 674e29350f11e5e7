"""`start` while the only listed Forwarder does not answer: its time, and its cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.store.session import read_session
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.sal_observer import SUMMARY_STATE
from tests.core.redis_helpers import looking_into
from tests.support.archiver_harness import LIMIT_S, queue_of

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.peer_process import Peer
    from tests.support.archiver_harness import ArchiverHarness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

SILENT = ("--mute", "ASSOCIATED")


# Extended: tests/health covers the search with silent Forwarders.
@pytest.mark.extended
async def test_start_with_a_silent_forwarder_ends_within_pair_timeout(
    harness: ArchiverHarness,
) -> None:
    [forwarder] = await harness.set(SILENT)
    settings = load_settings(harness.rig.folder.site_file)
    position = harness.sal.position
    # If the time of the unanswered attempt did not count, `start` would take longer than this.
    attempt_s = 2 * settings.ack_timeout

    async with within(settings.pair_timeout + attempt_s):
        with salobj.assertRaisesAckError(ack=salobj.SalRetCode.CMD_FAILED, result_contains="5752"):
            await harness.sal.command("start")

    assert await harness.fault_after(position) == 5752
    code, report = harness.sal.last_error()
    assert (code, forwarder.name in report) == (5752, True)


async def test_standby_cancels_a_start_that_waits_for_a_silent_forwarder(
    harness: ArchiverHarness,
) -> None:
    [forwarder] = await harness.set(SILENT)
    position = harness.sal.position
    starting = asyncio.create_task(harness.sal.command("start"))
    await asked(harness, forwarder)

    await harness.sal.command("standby")

    with salobj.assertRaisesAckError(
        ack=salobj.SalRetCode.CMD_FAILED, result_contains="start was cancelled by standby"
    ):
        await starting
    assert harness.sal.state == salobj.State.STANDBY
    assert harness.paired() is None
    async with looking_into(load_settings(harness.rig.folder.site_file)) as redis:
        assert not (await read_session(redis)).is_active
    # The next start works, and nothing of the cancelled one follows.
    await harness.set(())
    await harness.enable()
    await harness.image()
    assert not harness.sal.error_codes(since=position)
    states = [
        event.fields[SUMMARY_STATE] for event in harness.sal.of(SUMMARY_STATE, since=position)
    ]
    assert salobj.State.FAULT not in states


async def asked(harness: ArchiverHarness, forwarder: Peer) -> None:
    """Wait until the bridge has sent ASSOCIATED to a Forwarder."""
    await polling.wait_for(
        lambda: bool(harness.tap.published("ASSOCIATED", queue_of(forwarder.name))),
        LIMIT_S,
        f"ASSOCIATED to {forwarder.name}",
    )
