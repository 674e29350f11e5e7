"""A real headless browser: Debian's Chromium with an empty profile."""

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
    "--no-sandbox",  # CI runs as root, where the sandbox does not work
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
)

CONTROL_ROOM_SIZE = (1920, 1080)
"""Size of a control room's screen."""

LIMIT_S = 60.0
"""Limit of every wait on an idle machine; it takes effect only if something is broken."""


def limit_ms() -> float:
    """Return the limit for Playwright in real milliseconds, scaled to the machine."""
    return 1000 * scaled(LIMIT_S)


class Watched:
    """A page, its requests and its console errors."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._record_request)
        page.on("console", self._record_console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _record_request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _record_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    @property
    def asked_elsewhere(self) -> list[str]:
        """Return the requests to other servers."""
        return [url for url in self.asked if urlsplit(url).netloc != urlsplit(self.url).netloc]


def _require_chromium() -> None:
    assert CHROMIUM.exists(), (
        f"no {CHROMIUM}: make setup-tests installs it; or set CHROMIUM to a Chromium"
    )


@asynccontextmanager
async def browser(
    profile: Path, size: tuple[int, int] = CONTROL_ROOM_SIZE
) -> AsyncIterator[BrowserContext]:
    """Run a browser for the duration of a block.

    Parameters
    ----------
    profile
        An empty folder for the browser's files.
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
    """Open a page for the duration of a block."""
    page = await context.new_page()
    watched = Watched(page, url)
    try:
        await page.goto(url, timeout=limit_ms())
        yield watched
    finally:
        await page.close()
