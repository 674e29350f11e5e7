"""A real browser without a screen: Debian's Chromium, with nothing of anybody's profile in it."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.async_api import async_playwright

from ccarchiver_sim.pace import scaled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))

FLAGS = (
    "--no-sandbox",  # CI runs as root, where the sandbox does not
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers have little of it
)

DESK = (1920, 1080)
"""The screen of a control room."""

LIMIT_S = 60.0
"""For whatever is due, on a free machine; it costs only when something is broken."""


def limit_ms() -> float:
    """Return the limit as Playwright wants it, in real milliseconds on the machine as it is now."""
    return 1000 * scaled(LIMIT_S)


class Watched:
    """A page and everything it asked for and complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._note_request)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _note_request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    @property
    def asked_elsewhere(self) -> list[str]:
        """What it asked of anybody but its server."""
        return [url for url in self.asked if urlsplit(url).netloc != urlsplit(self.url).netloc]


def _require_chromium() -> None:
    assert CHROMIUM.exists(), f"no {CHROMIUM}: make setup-tests installs it; or set CHROMIUM to a Chromium"


@asynccontextmanager
async def browser(profile: Path, size: tuple[int, int] = DESK) -> AsyncIterator[BrowserContext]:
    """Run a browser for the time of a block.

    Parameters
    ----------
    profile
        An empty folder for what it writes.
    size
        Width and height of its window.
    """
    _require_chromium()
    width, height = size
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            headless=True,
            args=list(FLAGS),
            timeout=limit_ms(),
            viewport={"width": width, "height": height},
        )
        context.set_default_timeout(limit_ms())
        try:
            yield context
        finally:
            await context.close()


@asynccontextmanager
async def opened(context: BrowserContext, url: str) -> AsyncIterator[Watched]:
    """Have a page open for the time of a block."""
    page = await context.new_page()
    watched = Watched(page, url)
    try:
        await page.goto(url, timeout=limit_ms())
        yield watched
    finally:
        await page.close()
