"""The status page and the page of a night in a browser, on screens of four sizes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.core.redis_helpers import looking_into
from tests.health.web.layout_scene import cut_texts, image, write_scene
from tests.health.web.web_client import page_site, served
from tests.support.brokers import empty
from tests.support.browser import browser, limit_ms, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Locator, Page, Route

    from ccarchiver_sim.testbed.brokers import PrivateRedis
    from tests.support.browser import Watched

pytestmark = [pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

CONTROL_ROOM = (1920, 1080)
LAPTOP = (1280, 720)
PHONE = (390, 844)
ZOOMED = (640, 360)
"""A zoom of 200 % on the laptop: the browser lays out the page for half the size."""

WIDTHS = (320, 461, 500, 621, 700, 761, 900, 1001, 1101, 1251, 1500, 1801, 2301, 2560)
"""Widths of screens or windows in pixels, most of them the narrowest of one layout."""

SIZES = (CONTROL_ROOM, LAPTOP, PHONE, ZOOMED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(
    redis_server: PrivateRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    """Open the first page in one browser for all tests of this module."""
    empty(redis_server)
    settings = page_site(redis_server.port)
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        await write_scene(redis, settings)
        async with (
            browser(tmp_path_factory.mktemp("b")) as context,
            opened(context, client.url) as watched,
        ):
            watched.page.set_default_timeout(limit_ms())
            yield watched


@pytest_asyncio.fixture(loop_scope="module")
async def first_page(watched: Watched) -> Page:
    """Return the browser on the first page, with everything shown."""
    expect.set_options(timeout=limit_ms())
    page = watched.page
    await page.goto(watched.url)
    await expect(page.locator("body")).to_have_attribute("data-link", "live")
    await expect(page.locator("#dead-letters li").first).to_contain_text("not a valid message")
    return page


async def resize(page: Page, size: tuple[int, int]) -> None:
    width, height = size
    await page.set_viewport_size({"width": width, "height": height})


async def bottom_of(part: Locator) -> float:
    box = await part.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


async def test_no_text_of_the_first_page_is_cut_on_any_screen(first_page: Page) -> None:
    for size in SIZES:
        await resize(first_page, size)
        assert await cut_texts(first_page) == [], size


async def test_states_are_whole_words_at_any_width(first_page: Page) -> None:
    for width in WIDTHS:
        await resize(first_page, (width, CONTROL_ROOM[1]))
        assert await cut_texts(first_page) == [], width


async def test_no_text_of_a_timeline_is_cut_on_any_screen(first_page: Page) -> None:
    await first_page.goto(f"{first_page.url}#image={image(11)}")
    await expect(first_page.locator("#timeline .what").last).to_have_text("failed")
    for size in SIZES:
        await resize(first_page, size)
        assert await cut_texts(first_page) == [], size


async def test_no_text_of_a_night_or_of_the_runbook_is_cut_on_any_screen(watched: Watched) -> None:
    for address in ("/night", "/runbook?entry=no_forwarder", "/runbook?entry=fault_5071"):
        await watched.page.goto(watched.url + address)
        for size in SIZES:
            await resize(watched.page, size)
            assert await cut_texts(watched.page) == [], (address, size)


async def test_laptop_shows_the_dead_letters_without_scrolling(first_page: Page) -> None:
    await resize(first_page, LAPTOP)
    assert await bottom_of(first_page.locator("#dead-letters li").first) <= LAPTOP[1]


async def test_phone_shows_the_alarms_first_and_each_links_to_its_entry(
    first_page: Page,
) -> None:
    await resize(first_page, PHONE)
    alarms = first_page.locator(".panel.alarms")
    exposures = await first_page.locator(".panel.exposures").bounding_box()
    assert exposures is not None
    assert await bottom_of(alarms) <= exposures["y"]
    links = alarms.locator('li[data-name="images_stalled"] a')
    await links.click()
    await expect(first_page.locator("h1")).to_have_text("Runbook: images_stalled")


async def test_empty_panel_of_the_alarms_is_small_on_a_phone(watched: Watched) -> None:
    page = watched.page
    stream = re.compile("/events$")
    await page.route(stream, send_no_events)
    try:
        await page.goto(watched.url)
        await resize(page, PHONE)
        script = 'import("/static/panels.js").then((panels) => panels.showAlarms([]))'
        await page.evaluate(script)
        box = await page.locator(".panel.alarms").bounding_box()
    finally:
        await page.unroute(stream)
    assert box is not None
    assert box["height"] < PHONE[1] / 6


async def send_no_events(route: Route) -> None:
    """Send an empty stream, so that the page keeps what the test shows."""
    await route.fulfill(status=200, content_type="text/event-stream", body="")


async def test_card_shows_the_symbol_and_the_whole_word_of_its_state(first_page: Page) -> None:
    await resize(first_page, LAPTOP)
    state = first_page.locator(f'[data-image="{image(14)}"] .state')
    await expect(state).to_have_text("? unannounced")
    await expect(state).to_be_visible()


async def test_night_is_filtered_by_name_with_the_keyboard_and_links_to_the_timeline(
    watched: Watched,
) -> None:
    page = watched.page
    await page.goto(f"{watched.url}/night")
    rows = page.locator("#exposures tr[data-name]:visible")
    # The last image is always of this night; the others are not if the night has just begun.
    name = await rows.last.get_attribute("data-name")
    assert name
    await page.keyboard.press("/")
    await page.keyboard.type(name)
    await expect(rows).to_have_count(1)
    await expect(page.locator("#filter-count")).to_contain_text("1 of ")
    await rows.first.locator("a").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#timeline-name")).to_have_text(name)
    await expect(page.locator("#timeline .what").first).to_be_visible()


async def test_pages_have_requested_nothing_elsewhere_and_logged_no_error(
    watched: Watched,
) -> None:
    """Check this last, after all pages were opened."""
    assert watched.asked_elsewhere == []
    assert watched.complaints == []
