from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_health.health import work
from ccarchiver_health.web import page_runner
from ccarchiver_health.web import server as server_module
from ccarchiver_health.web.page_runner import run_page
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, is_free
from tests.core.redis_helpers import end, eventually, holding, looking_into
from tests.health.web.web_client import page_site, served, visiting

if TYPE_CHECKING:
    import pytest

    from ccarchiver_sim.testbed.brokers import PrivateRedis


async def test_disabled_page_returns_at_once_and_loads_nothing(fresh_redis: PrivateRedis) -> None:
    with capture_logs() as logs:
        await run_page(page_site(fresh_redis.port, STATUS_PORT=0))
    assert [(line["event"], line["setting"]) for line in logs] == [("page.disabled", "STATUS_PORT")]


async def test_occupied_port_is_logged_and_used_when_it_is_free(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    with capture_logs() as logs:
        with socket.create_server((LOOPBACK, settings.status_port)):
            task = asyncio.create_task(run_page(settings))

            async def logged() -> bool:
                return any(line["event"] == "page.port_taken" for line in logs)

            await eventually(logged, f"the log line; logged so far: {logs}")
        async with visiting(settings) as client:
            await eventually(client.answers, "the page")
            await end(task)
    line = next(line for line in logs if line["event"] == "page.port_taken")
    assert line["address"] == f"{LOOPBACK}:{settings.status_port}"
    assert "STATUS_PORT" in line["remedy"]
    assert not [line for line in logs if line["log_level"] in {"error", "critical"}]
    assert is_free(settings.status_port), "the port is released when the page ends"


async def test_address_of_another_host_is_logged(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port, STATUS_HOST="192.0.2.1")
    with capture_logs() as logs:
        task = asyncio.create_task(run_page(settings))

        async def logged() -> bool:
            return any(
                line["event"] == "page.cannot_listen" and "STATUS_HOST" in line["remedy"]
                for line in logs
            )

        await eventually(logged, f"the log line; logged so far: {logs}")
        await end(task)


async def test_page_that_fails_is_restarted(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_runner, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(page_runner, "START_DELAY_S", 0.0)
    real, starts = page_runner._load, list[int]()

    def load() -> page_runner.Maker:
        starts.append(1)
        if len(starts) == 1:
            raise ImportError("No module named 'aiohttp'")
        if len(starts) == 2:
            raise ZeroDivisionError
        return real()

    monkeypatch.setattr(page_runner, "_load", load)
    settings = page_site(fresh_redis.port)
    with capture_logs() as logs:
        task = asyncio.create_task(run_page(settings))
        async with visiting(settings) as client:
            await eventually(client.answers, "the page")
        await end(task)
    problems = [line["event"] for line in logs if line["event"] != "page.ready"]
    assert problems[:2] == ["page.library_missing", "page.failed"]


async def test_server_is_loaded_for_the_first_connection(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, loaded = page_runner._load, list[int]()

    def load() -> page_runner.Maker:
        loaded.append(1)
        return real()

    monkeypatch.setattr(page_runner, "_load", load)
    settings = page_site(fresh_redis.port)
    with capture_logs() as logs:
        task = asyncio.create_task(run_page(settings))

        async def ready() -> bool:
            return any(line["event"] == "page.ready" for line in logs)

        await eventually(ready, f"the page to listen; logged so far: {logs}")
        assert not loaded
        # It waits in the socket's queue while the server is loaded.
        _, writer = await asyncio.open_connection(LOOPBACK, settings.status_port)
        async with visiting(settings) as client:
            await eventually(client.answers, "the page")
        writer.close()
        await end(task)
    assert loaded == [1]


async def test_missing_library_is_reported_without_a_visitor(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_runner, "LIBRARIES", ("a_library_that_is_missing",))
    with capture_logs() as logs:
        task = asyncio.create_task(run_page(page_site(fresh_redis.port)))

        async def logged() -> bool:
            return any(line["event"] == "page.library_missing" for line in logs)

        await eventually(logged, f"the log line; logged so far: {logs}")
        await end(task)


async def test_health_worker_runs_without_its_page(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    async with (
        looking_into(settings) as redis,
        holding(Worker.HEALTH, settings) as context,
        visiting(settings) as client,
    ):
        with socket.create_server((LOOPBACK, settings.status_port)):
            task = asyncio.create_task(work(context))
            beating = asyncio.create_task(context.heartbeat.publish())

            async def at_work() -> bool:
                heartbeat = await read_heartbeat(redis, Worker.HEALTH)
                return heartbeat is not None and heartbeat.state == "idle: no session"

            await eventually(at_work, "health at work without its page")
            assert not task.done()
        await eventually(client.answers, "the page")
        metrics = await client.ask("/metrics")
        assert metrics.headers["Content-Type"].startswith("text/plain")
        assert "ccarchiver_redis_up 1.0\n" in metrics.text
        await end(task)
        await end(beating)
        assert is_free(settings.status_port)


async def test_open_streams_do_not_delay_the_shutdown(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    task = asyncio.create_task(run_page(settings))
    async with visiting(settings) as client:
        await eventually(client.answers, "the page")
        async with client.listening() as stream:
            await stream.snapshot()
            task.cancel()
            async with within(10 * server_module.STOP_LIMIT_S):
                await asyncio.wait({task})
            rest = await stream.answer.content.read()
            assert not rest or rest.endswith(b"\n\n"), "no incomplete event"


async def test_idle_connections_are_limited_and_released_when_closed(
    fresh_redis: PrivateRedis,
) -> None:
    settings = page_site(fresh_redis.port)
    async with served(settings) as (_server, client):
        with ExitStack() as stack:
            for _ in range(server_module.MAX_CONNECTIONS):
                stack.enter_context(socket.create_connection((LOOPBACK, settings.status_port)))
            await eventually(lambda: is_refused(settings.status_port), "a connection to be refused")
        async with visiting(settings) as another:
            await eventually(another.answers, "a free connection")
        assert await client.answers()


async def is_refused(port: int) -> bool:
    """Return whether a connection is closed immediately."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        async with within(0.5):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    finally:
        writer.close()
