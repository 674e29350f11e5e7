"""The status page in a real browser during normal work and faults of a real archiver."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from ccarchiver_core import keys
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.rig import OODS
from ccarchiver_sim.testbed.sal_observer import RETRIEVED
from tests.support.archiver_harness import LIMIT_S
from tests.support.browser import browser, limit_ms, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Locator, Page

    from tests.support.archiver_harness import ArchiverHarness
    from tests.support.browser import Watched

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

MARKUP = '<img src="/static/nothing" onerror="document.title=1"><b>bold</b>'
CONNECTION_LOST = "error: Failed to load resource: net::ERR_"
"""Prefix of Chromium's own message about a server that is unavailable."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watched(
    harness: ArchiverHarness, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    await polling.wait_for_async(lambda: _is_served(harness), LIMIT_S, "the status page")
    async with (
        browser(tmp_path_factory.mktemp("b")) as context,
        opened(context, harness.rig.status_url) as page,
    ):
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def page(watched: Watched) -> AsyncIterator[Page]:
    """Yield the open page; check afterwards for foreign requests and logged errors."""
    expect.set_options(timeout=limit_ms())
    watched.page.set_default_timeout(limit_ms())
    yield watched.page
    assert watched.asked_elsewhere == []
    assert watched.complaints == []


async def _is_served(harness: ArchiverHarness) -> bool:
    return "page.ready" in (harness.rig.folder.logs / "health.out").read_text(encoding="utf-8")


@asynccontextmanager
async def server_down(watched: Watched) -> AsyncIterator[None]:
    """Ignore Chromium's own messages about an unavailable server."""
    yield
    watched.complaints[:] = [
        line for line in watched.complaints if not line.startswith(CONNECTION_LOST)
    ]


def card(page: Page, image: str) -> Locator:
    return page.locator(f'#recent-images button[data-image="{image}"]')


def worker(page: Page, name: str) -> Locator:
    return page.locator(f'#workers [data-worker="{name}"]')


async def cells(page: Page, image: str, state: str, count: int = 9) -> None:
    """Wait until this many CCDs of an image are shown in a state."""
    await expect(card(page, image).locator(f'.cell[data-ccd="{state}"]')).to_have_count(count)


async def test_page_shows_the_states_of_the_csc(harness: ArchiverHarness, page: Page) -> None:
    await harness.set(())
    await expect(page.locator("#csc")).to_have_attribute("data-state", "STANDBY")
    await harness.enable()
    await expect(page.locator("#csc")).to_have_attribute("data-state", "ENABLED")
    await expect(page.locator("#csc strong")).to_have_text("ENABLED")
    await expect(page.locator("#verdict")).to_have_attribute("data-verdict", "well")
    await expect(page.locator("#pairing")).to_contain_text(harness.paired() or "a paired Forwarder")
    await expect(page).to_have_title("✔ ENABLED · CCArchiver")

    position = harness.sal.position
    harness.rig.peers["controller"].kill()
    assert await harness.fault_after(position) == 5751
    await expect(page.locator("#csc")).to_have_attribute("data-state", "FAULT")
    await expect(page.locator("#csc p")).to_contain_text("5751")
    await expect(page.locator("#verdict")).to_have_attribute("data-verdict", "critical")
    await expect(page.locator('#alarms [data-name="fault_5751"] .do')).to_contain_text(
        "command_ccarchiver standby"
    )

    await harness.set(())
    await harness.enable()
    await expect(page.locator("#csc")).to_have_attribute("data-state", "ENABLED")
    await expect(page.locator('#alarms [data-severity="critical"]')).to_have_count(0)


async def test_page_shows_each_state_of_the_files_of_an_exposure(
    harness: ArchiverHarness, page: Page
) -> None:
    [forwarder] = await harness.set(())
    await harness.rig.end_peers([OODS])
    await harness.enable()
    name = await harness.begun(forwarder)
    await cells(page, name, "waiting")
    await expect(card(page, name)).to_contain_text("endReadout")
    harness.rig.end_exposure(name)
    await cells(page, name, "retrieved")
    await harness.rig.start_oods().wait_ready()
    await cells(page, name, "ingested")
    await expect(card(page, name)).to_contain_text("complete")
    assert await card(page, name).locator(".cell").all_text_contents() == ["I"] * 9
    await expect(page.locator('#latencies [data-stage="image"] figcaption')).to_have_text(
        re.compile("[1-9]")
    )


@pytest.mark.extended  # tests/health/web covers the states of a file
async def test_page_shows_a_failed_file_with_its_reason(
    harness: ArchiverHarness, page: Page
) -> None:
    await harness.set(("--fail-code", "5611"))
    await harness.enable()
    name = harness.rig.take()
    await polling.wait_for(
        lambda: bool(harness.sal.of(RETRIEVED, obsid=name)), LIMIT_S, "the Forwarder's status"
    )
    failed = card(page, name).locator('.cell[data-ccd="failed"]')
    await expect(failed.first).to_have_text("F")
    await expect(failed.first).to_have_attribute("title", re.compile("5611"))


@pytest.mark.extended  # tests/cli covers a worker that is down
async def test_page_shows_a_killed_worker_and_an_alarm_for_a_stopped_one(
    harness: ArchiverHarness, page: Page
) -> None:
    await harness.set(())
    pid = harness.rig.supervisor.status()["bridge"].pid
    await expect(worker(page, "bridge")).to_contain_text(f"pid {pid}")
    harness.rig.supervisor.kill_worker("bridge")
    await expect(worker(page, "bridge")).not_to_contain_text(f"pid {pid}")
    await expect(worker(page, "bridge").locator(".mark")).to_contain_text("started")

    await asyncio.to_thread(harness.rig.supervisor.stop_worker, "bridge")
    await expect(worker(page, "bridge")).to_have_attribute("data-health", "down")
    await expect(page.locator('#alarms [data-name="worker_unavailable"]')).to_contain_text(
        "ccarchiver:bridge"
    )
    await expect(page.locator("#verdict")).to_have_attribute("data-verdict", "critical")
    await asyncio.to_thread(harness.rig.supervisor.start_worker, "bridge")
    await expect(worker(page, "bridge")).to_have_attribute("data-health", "well")
    await expect(page.locator("#verdict")).not_to_have_attribute("data-verdict", "critical")


async def test_page_shows_a_hung_or_stopped_server_as_stale_and_recovers(
    harness: ArchiverHarness, watched: Watched, page: Page
) -> None:
    await harness.set(())
    await expect(page.locator("body")).to_have_attribute("data-link", "live")
    async with server_down(watched):
        harness.rig.supervisor.signal_worker("health", signal.SIGSTOP)
        await expect(page.locator("body")).to_have_attribute("data-link", "stale")
        await expect(page.locator("#notice")).to_contain_text("No data for")
        await expect(page.locator("#verdict strong")).to_have_text("UNKNOWN")
        harness.rig.supervisor.signal_worker("health", signal.SIGCONT)
        await expect(page.locator("body")).to_have_attribute("data-link", "live")
        await expect(page.locator("#notice")).to_be_hidden()

        await asyncio.to_thread(harness.rig.supervisor.stop_worker, "health")
        await expect(page.locator("body")).to_have_attribute("data-link", "stale")
        await asyncio.to_thread(harness.rig.supervisor.start_worker, "health")
        await expect(page.locator("body")).to_have_attribute("data-link", "live")
        await expect(page.locator("#verdict strong")).not_to_have_text("UNKNOWN")
        await expect(worker(page, "health")).to_have_attribute("data-health", "well")


@pytest.mark.extended  # tests/health/web covers a Redis outage
async def test_page_shows_a_redis_outage_with_the_last_known_state_and_recovers(
    harness: ArchiverHarness, page: Page
) -> None:
    await harness.set(())
    await harness.enable()
    name = await harness.image()
    await cells(page, name, "ingested")
    harness.rig.redis.freeze()
    try:
        await expect(page.locator("body")).to_have_attribute("data-link", "redis")
        await expect(page.locator("#notice")).to_contain_text("Redis at")
        await expect(page.locator('#alarms [data-name="redis_unavailable"]')).to_be_visible()
        await cells(page, name, "ingested")
    finally:
        harness.rig.redis.thaw()
    await expect(page.locator("body")).to_have_attribute("data-link", "live")
    await expect(page.locator('#alarms [data-name="redis_unavailable"]')).to_have_count(0)


async def test_timeline_of_an_exposure_can_be_opened_with_the_keyboard(
    harness: ArchiverHarness, page: Page
) -> None:
    await harness.set(())
    await harness.enable()
    first, second = await harness.image(), await harness.image()
    await cells(page, second, "ingested")
    await page.locator("body").click(position={"x": 1, "y": 1})
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")  # the link skips the banner
    await page.keyboard.press("Tab")
    await expect(page.locator("#recent-images button:focus")).to_have_count(1)
    await page.keyboard.press("Home")
    await expect(card(page, second)).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(card(page, first)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#timeline-name")).to_have_text(first)
    entries = page.locator("#timeline .what")
    await expect(entries.first).to_have_text("startIntegration received")
    await expect(entries.filter(has_text="retrieved")).to_have_count(9)
    await expect(entries.last).to_have_text("complete")
    await page.keyboard.press("Escape")
    await expect(page.locator("#timeline")).to_be_hidden()
    await expect(card(page, first)).to_be_focused()


@pytest.mark.extended  # the test above opens the timeline
async def test_open_timeline_is_updated_with_its_exposure(
    harness: ArchiverHarness, page: Page
) -> None:
    [forwarder] = await harness.set(())
    await harness.enable()
    name = await harness.begun(forwarder)
    await card(page, name).click()
    await expect(page.locator("#timeline-body")).to_contain_text(
        "waits for the camera's endReadout"
    )
    harness.rig.end_exposure(name)
    await expect(page.locator("#timeline .what").filter(has_text="complete")).to_have_count(1)
    await page.locator("#timeline-close").click()


async def test_image_name_with_markup_is_shown_as_text(
    harness: ArchiverHarness, page: Page
) -> None:
    await harness.set(())
    now = time.time()
    with harness.redis() as client:
        record = {"obsid": MARKUP, "job": "0", "at": str(now), "state": "failed", "failed": MARKUP}
        for field, value in record.items():
            client.hset(keys.image(MARKUP), field, value)
        client.zadd(keys.IMAGES, {MARKUP: now})
    try:
        odd = page.locator("#recent-images button").filter(has_text="<img")
        await expect(odd).to_have_attribute("title", MARKUP)
        await odd.click()
        await expect(page.locator("#timeline-name")).to_have_text(MARKUP)
        await expect(page.locator("#timeline-body")).to_contain_text(MARKUP)
        await page.keyboard.press("Escape")
        assert await page.locator("img, #recent-images b, #timeline b").count() == 0
    finally:
        with harness.redis() as client:
            client.delete(keys.image(MARKUP))
            client.zrem(keys.IMAGES, MARKUP)
    await expect(odd).to_have_count(0)


async def test_page_requests_only_its_own_files_and_one_stream(
    watched: Watched, page: Page
) -> None:
    """Check this last: even after all these faults the page has not polled in a loop."""
    paths = [url.removeprefix(watched.url) for url in watched.asked]
    assert paths.count("") == 1
    assert {path.partition("?")[0] for path in paths} <= {"", "events", "api/image"} | {
        path for path in paths if path.startswith("static/")
    }
    assert await page.locator("#recent-images button").count() > 0
