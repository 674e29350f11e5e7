"""A real nginx before the page: it passes on each event at once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from playwright.async_api import expect

from tests.core.redis_helpers import eventually
from tests.health.web.web_client import Stream, page_site, served
from tests.support.browser import browser, limit_ms, opened
from tests.support.nginx import proxying

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_sim.testbed.brokers import PrivateRedis

pytestmark = pytest.mark.processes

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "status-page.md"
DOCUMENTED_ADDRESS = "http://127.0.0.1:8094"
PLAIN = f"location / {{ proxy_pass {DOCUMENTED_ADDRESS}; }}"
"""nginx with its defaults, which hold back what a server sends slowly."""
AHEAD = 3
"""Ticks by which a direct visitor gets ahead if nginx holds back events until it has 4 kB."""
TICKS = 7
"""More than fill 4 kB together with the snapshots, and than a page needs to become stale."""


def documented() -> str:
    """Return the block that the documents show."""
    found = re.search(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def before(settings: Settings, location: str) -> str:
    """Return a location block with the address of this page."""
    assert DOCUMENTED_ADDRESS in location
    return location.replace(DOCUMENTED_ADDRESS, f"http://127.0.0.1:{settings.status_port}")


@pytest.mark.parametrize("location", [documented(), PLAIN], ids=["documented", "plain"])
async def test_events_pass_nginx_at_once(
    fresh_redis: PrivateRedis, tmp_path: Path, location: str
) -> None:
    settings = page_site(fresh_redis.port)
    async with served(settings) as (_, client):
        with proxying(tmp_path, before(settings, location)) as url:
            await eventually(lambda: is_proxied(client.session, url), "an answer through nginx")
            async with client.listening() as direct, client.session.get(f"{url}/events") as answer:
                behind = Stream(answer)
                await behind.tick()  # both receive all later ones
                lead = Lead()
                following = asyncio.create_task(lead.follow(behind))
                for _ in range(TICKS):
                    await direct.tick()
                    lead.up()
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    assert lead.largest < AHEAD


class Lead:
    """Number of ticks by which a direct visitor is ahead of one behind a proxy."""

    def __init__(self) -> None:
        self._now = 0
        self.largest = 0

    def up(self) -> None:
        """Count a tick that the direct visitor has received."""
        self._now += 1
        self.largest = max(self.largest, self._now)

    async def follow(self, behind: Stream) -> None:
        """Count the ticks that the other visitor receives."""
        while True:
            await behind.tick()
            self._now -= 1


async def test_page_behind_nginx_stays_live(fresh_redis: PrivateRedis, tmp_path: Path) -> None:
    settings = page_site(fresh_redis.port)
    expect.set_options(timeout=limit_ms())
    async with served(settings) as (_, client):
        with proxying(tmp_path, before(settings, PLAIN)) as url:
            await eventually(lambda: is_proxied(client.session, url), "an answer through nginx")
            async with browser(tmp_path / "profile") as context, opened(context, url) as watched:
                body = watched.page.locator("body")
                await expect(body).to_have_attribute("data-link", "live")
                async with client.listening() as direct:
                    for _ in range(TICKS):
                        await direct.tick()
                        await expect(body).to_have_attribute("data-link", "live")
                assert watched.complaints == []


async def is_proxied(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
