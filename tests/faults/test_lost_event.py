"""The campaign finds a loss: on a real archiver, one event of one image never arrives."""

from __future__ import annotations

import pytest
from typing_extensions import override

from ccarchiver_sim.faults import progress
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.runner import CampaignPlan, Runner
from ccarchiver_sim.faults.sal_source import END, HEADER, START
from ccarchiver_sim.faults.scenario import Scenario

pytestmark = [pytest.mark.integration, pytest.mark.extended]

LIMIT_S = 10.0
"""Replaces limits of minutes: without a fault, the archiver needs a second for an image."""


class LostHeader(Scenario):
    """The header of an image is recorded as sent but never sent, as if DDS had lost it."""

    name = "lost-header"
    about = "the header of one image is lost on its way to the archiver"
    ends_at_once = True

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        self.image = testbed.sal_source.new_image()
        for topic in (START, END):
            await testbed.sal_source.put(topic, self.image)
        testbed.oracle.put(
            HEADER, self.image, testbed.oracle.traces[self.image].last_put, enabled=True
        )


async def test_campaign_reports_a_lost_event_as_one_lost_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "IDLE_LIMIT_S", LIMIT_S)
    monkeypatch.setattr(progress, "STUCK_LIMIT_S", LIMIT_S)
    scenario = LostHeader()
    testbed = FaultTestbed(1)
    try:
        async with testbed:
            await testbed.open()
            result = await Runner(
                testbed, CampaignPlan(kills=None, is_short=True), lambda _text: None
            ).run(scenario)
    finally:
        testbed.rig.folder.remove()

    assert result.lost == 1
    assert not result.passed
    assert result.delivered == result.accepted - 1 > 0
    assert [text.partition(":")[0] for text in result.failures] == [scenario.image]
