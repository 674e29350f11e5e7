"""The page has the runbook's entry of each alarm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ccarchiver_core.status.alarms import ALARM_NAMES
from ccarchiver_health.web.runbook import entry_page
from tests.health.web.web_client import page_site, served

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis


def test_each_alarm_has_a_page_whose_links_lead_to_entries_or_to_the_page() -> None:
    for name in ALARM_NAMES:
        page = entry_page(name)
        assert page is not None, name
        assert "ccarchiver status" in page, name
        for target in re.findall(r'<a href="([^"]+)"', page):
            entry = target.removeprefix("runbook?entry=")
            assert target == "./" or entry in ALARM_NAMES, (name, target)


def test_entry_of_a_fault_is_that_of_its_error_code() -> None:
    page = entry_page("fault_5751")

    assert page is not None
    assert "the CSC is in FAULT with 5751" in page


async def test_runbook_is_served_and_an_unknown_name_has_no_entry(
    fresh_redis: PrivateRedis,
) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        known = await client.ask("/runbook?entry=no_forwarder")
        unknown = await client.ask("/runbook?entry=../alarms.md")
        empty = await client.ask("/runbook")

    assert (known.status, known.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "no Forwarder is paired" in known.text
    assert (unknown.status, empty.status) == (404, 404)
