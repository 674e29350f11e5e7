"""The screenshots in the documentation, taken of the real page during a simulated night.

Run it from the repository's folder: ``python -m tests.support.screenshots docs/images``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lsst.ts import salobj
from playwright.async_api import expect

from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed.rig import FORWARDER, OODS, Rig
from tests.support.browser import CONTROL_ROOM_SIZE, browser, limit_ms, opened

if TYPE_CHECKING:
    from playwright.async_api import Page

PHONE_SIZE = (390, 844)
"""Size of a phone's screen."""
IMAGES = 14
"""Number of images: more than the page shows."""
CADENCE_S = 1.5
EXPOSURE_S = 0.4
WORKERS_SETTLED_S = 120.0
"""Time limit for the mark of a newly started worker, which stays for a minute."""


async def take_pictures(folder: Path) -> None:
    """Take all screenshots, of a private archiver that runs only for them."""
    rig = Rig({"PAIR_TIMEOUT": 2, "REASSIGN_GRACE": 1})
    try:
        async with rig:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(rig.start_brokers())
                tasks.create_task(rig.start_workers())
                tasks.create_task(rig.start_peers())
            await rig.observer.go_to(salobj.State.ENABLED)
            with tempfile.TemporaryDirectory() as profile:
                async with (
                    browser(Path(profile)) as context,
                    opened(context, rig.status_url) as watched,
                ):
                    await _night(rig, watched.page, folder)
    finally:
        await rig.close()
        rig.folder.remove()


async def _night(rig: Rig, page: Page, folder: Path) -> None:
    expect.set_options(timeout=limit_ms())
    for _ in range(IMAGES):
        rig.take(EXPOSURE_S)
        await asyncio.sleep(CADENCE_S)
    for mark in await page.locator("#workers .mark").all():
        await expect(mark).to_be_empty(timeout=1000 * scaled(WORKERS_SETTLED_S))

    rig.peers[OODS].freeze()
    fetched = rig.take(EXPOSURE_S)
    await expect(page.locator(f'[data-image="{fetched}"] [data-ccd="retrieved"]')).to_have_count(9)
    exposing = rig.begin_exposure()
    await expect(page.locator(f'[data-image="{exposing}"] [data-ccd="waiting"]')).to_have_count(9)
    await page.screenshot(path=folder / "status-page.png")
    rig.peers[OODS].thaw()

    card = page.locator(f'[data-image="{fetched}"]')
    await expect(card.locator('[data-ccd="ingested"]')).to_have_count(9)
    await card.press("Enter")
    await expect(page.locator("#timeline .what").filter(has_text="complete")).to_have_count(1)
    await page.screenshot(path=folder / "status-page-timeline.png")
    await page.keyboard.press("Escape")
    await page.mouse.click(1, 1)  # no element has the focus

    rig.peers[FORWARDER].kill()
    await expect(page.locator("#csc")).to_have_attribute("data-state", "FAULT")
    await expect(page.locator('#alarms [data-severity="critical"]').first).to_be_visible()
    await expect(page.locator('#workers [data-worker="sal"] .doing')).to_have_text("FAULT")
    await page.screenshot(path=folder / "status-page-fault.png")

    width, height = PHONE_SIZE
    await page.set_viewport_size({"width": width, "height": height})
    await page.screenshot(path=folder / "status-page-phone.png")
    width, height = CONTROL_ROOM_SIZE
    await page.set_viewport_size({"width": width, "height": height})
    await page.locator('a[href="night"]').click()
    await expect(page.locator('#timeline [data-csc="FAULT"]')).to_be_visible()
    await page.screenshot(path=folder / "status-page-night.png")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_pictures(target))
