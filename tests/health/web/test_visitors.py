"""Visitors of the page that leave or send rubbish cause no error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from ccarchiver_core.log.logs import last_error
from ccarchiver_health.web import security, sse
from ccarchiver_health.web import server as server_module
from ccarchiver_health.web.sse import MAX_CLIENTS
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.core.redis_helpers import LIMIT_S, eventually
from tests.health.web.web_client import page_site, served
from tests.support.browser import browser, limit_ms, opened

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.web.sse import Broadcaster
    from ccarchiver_sim.testbed.brokers.redis import PrivateRedis

VISITORS = 12
TABS = 3
CROWD = 200
REQUESTS = 500
LARGE = 1_000_000
"""Bytes of an event, so that a few of them fill the buffers of the kernel."""
RECEIVE_BUFFER = 4096


async def test_visitors_who_leave_during_the_stream_cause_no_error(
    fresh_redis: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    settings = page_site(fresh_redis.port)
    async with served(settings) as (server, client):
        for _ in range(VISITORS):
            reader, writer = await asyncio.open_connection(LOOPBACK, settings.status_port)
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"X-Accel-Buffering: no\r\n" in head, "nginx must not hold back the events"
            await reader.readuntil(b"retry")
            writer.transport.abort()
        await eventually(lambda: _has_none(server.broadcaster), "all visitors to be unsubscribed")
        assert await client.answers()

    assert [found.message for found in caplog.records if found.levelno >= logging.ERROR] == []


@pytest.mark.processes
async def test_browser_whose_tab_is_closed_causes_no_error_and_no_alarm(
    fresh_redis: PrivateRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expect.set_options(timeout=limit_ms())
    settings = page_site(fresh_redis.port)
    before = last_error.text
    async with served(settings) as (server, client):
        async with browser(tmp_path) as context:
            for _ in range(TABS):
                async with opened(context, client.url) as watched:
                    body = watched.page.locator("body")
                    await expect(body).to_have_attribute("data-link", "live")
                    async with client.listening() as stream:
                        await stream.tick()
                        await stream.tick()
                await eventually(lambda: _has_none(server.broadcaster), "the tab to be gone")
            # This one is open when the browser ends.
            page = await context.new_page()
            await page.goto(client.url, timeout=limit_ms())
            await expect(page.locator("body")).to_have_attribute("data-link", "live")
        await eventually(lambda: _has_none(server.broadcaster), "the browser to be gone")
        assert await client.answers()

    assert [found.message for found in caplog.records if found.levelno >= logging.WARNING] == []
    assert last_error.text == before, "the alarm worker_error comes from this text"


async def test_visitors_who_send_rubbish_or_nothing_cause_no_error(
    fresh_redis: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    settings = page_site(fresh_redis.port)
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with served(settings) as (_, client):
        for sent in (
            b"",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"\0" * 1000 + b"\r\n\r\n",
            request + b"\xff\xfe rubbish\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(LOOPBACK, settings.status_port)
            writer.write(sent)
            writer.write_eof()
            async with within(LIMIT_S):
                with contextlib.suppress(ConnectionError):
                    await reader.read()
            writer.transport.abort()
        assert await client.answers()

    assert [found.message for found in caplog.records if found.levelno >= logging.ERROR] == []


async def test_200_visitors_and_a_port_scan_cause_no_error(
    fresh_redis: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    settings = page_site(fresh_redis.port)
    async with served(settings) as (server, client):
        async with AsyncExitStack() as stack:
            for number in range(CROWD):
                visitor = stack.enter_context(await connected(settings))
                path = "/events" if number % 2 else "/api/snapshot"
                visitor.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert server.broadcaster.listening <= MAX_CLIENTS
        for _ in range(CROWD):
            (await connected(settings)).close()
        await eventually(lambda: _has_none(server.broadcaster), "all visitors to be unsubscribed")
        await eventually(client.answers, "a free connection")

    assert [found.message for found in caplog.records if found.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("path", ["/events", "/api/snapshot"])
async def test_visitor_who_reads_nothing_is_disconnected(
    fresh_redis: PrivateRedis,
    path: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (security, server_module):
        monkeypatch.setattr(module, "WRITE_LIMIT_S", 0.5)
    monkeypatch.setattr(sse, "INTERVAL_S", 0.01)
    monkeypatch.setattr(sse, "COMPLETE_EVERY_S", 0.0)
    monkeypatch.setattr(sse, "encode", lambda *_: b": " + b"x" * LARGE + b"\n\n")
    settings = page_site(fresh_redis.port)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    async with served(settings) as (_server, client):
        with await connected(settings) as visitor:

            async def is_disconnected() -> bool:
                # Requests are answered one after the other; the answers fill all buffers.
                try:
                    visitor.send(request * REQUESTS)
                except BlockingIOError:
                    return False
                except ConnectionError:
                    return True
                return False

            await eventually(is_disconnected, "the visitor to be disconnected")
        assert await client.answers()

    assert [found.message for found in caplog.records if found.levelno >= logging.WARNING] == []


async def connected(settings: Settings) -> socket.socket:
    """Return a connection to the page with a small buffer for what it receives."""
    visitor = socket.socket()
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    visitor.setblocking(False)  # noqa: FBT003  the method has no keyword
    await asyncio.get_running_loop().sock_connect(visitor, (LOOPBACK, settings.status_port))
    return visitor


async def _has_none(broadcaster: Broadcaster) -> bool:
    return broadcaster.listening == 0
