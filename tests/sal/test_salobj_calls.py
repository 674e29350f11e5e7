"""The calls that differ between salobj 6.9 and 7."""

from __future__ import annotations

import pytest

from ccarchiver_core.sal_interface.salobj_calls import finish, write_event
from tests.sal.salobj_doubles import Csc6, Csc7, Topic6, Topic7

BURST = 2000
"""Statuses that arrive at once after an outage of some minutes."""


@pytest.mark.parametrize("topic_class", [Topic6, Topic7])
async def test_event_is_written_when_the_call_returns(topic_class: type[Topic6 | Topic7]) -> None:
    topic = topic_class()
    await write_event(topic, {"obsid": "i", "statusCode": 0})
    assert topic.written == [{"obsid": "i", "statusCode": 0}]


@pytest.mark.parametrize("topic_class", [Topic6, Topic7])
async def test_burst_is_written_completely_and_in_order(topic_class: type[Topic6 | Topic7]) -> None:
    topic = topic_class()
    for number in range(BURST):
        await write_event(topic, {"number": number})
    assert [fields["number"] for fields in topic.written] == list(range(BURST))


@pytest.mark.parametrize("csc_class", [Csc6, Csc7])
async def test_fault_is_published_when_it_is_finished(csc_class: type[Csc6 | Csc7]) -> None:
    csc = csc_class()
    await finish(csc.fault(5751, "no answer"))
    assert csc.published == [(5751, "no answer")]
