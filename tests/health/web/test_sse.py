from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.keys import Worker
from ccarchiver_health.web import sse
from ccarchiver_health.web.snapshot import read_snapshot
from ccarchiver_health.web.sse import MAX_CLIENTS, Client
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.redis_helpers import eventually, holding, looking_into
from tests.health.web.web_client import accept, page_site, served, write_csc_state, write_heartbeats

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_health.web.server import StatusServer

ENABLED, FAULT = 2, 3


async def listeners(server: StatusServer, count: int) -> None:
    async def counted() -> bool:
        return server.broadcaster.listening == count

    await eventually(counted, f"{count} clients; connected: {server.broadcaster.listening}")


async def test_new_client_receives_a_full_snapshot_at_once(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        await write_csc_state(redis, ENABLED)
        await write_heartbeats(redis)
        async with client.listening() as stream:
            assert stream.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            name, first = await stream.next()
            assert name == "snapshot"
            assert first["overview"]["csc"]["state"] == "ENABLED"
            assert first["verdict"] == "well"
            async with client.listening() as late:
                name, same = await late.next()
                assert (name, same["overview"]["csc"]["state"]) == ("snapshot", "ENABLED")


async def test_snapshot_is_sent_only_after_a_change(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "COMPLETE_EVERY_S", 3600.0)
    settings = page_site(fresh_redis.port)
    async with (
        looking_into(settings) as redis,
        holding(Worker.SAL, settings) as sal,
        served(settings) as (_server, client),
        client.listening() as stream,
    ):
        await stream.snapshot()
        assert [(await stream.next())[0] for _ in range(3)] == ["tick"] * 3
        await accept(sal, "an image")
        found = await stream.snapshot_with(
            "the image", "overview.recent.0.summary.obsid", "an image"
        )
        assert [ccd["state"] for ccd in found["overview"]["recent"][0]["ccds"]] == ["waiting"] * 9
        await write_csc_state(redis, FAULT, 5752, "no answer")
        found = await stream.snapshot_with("FAULT", "overview.csc.state", "FAULT")
        assert found["alarms"][0]["name"] == "fault_5752"
        await write_heartbeats(redis, Worker.BRIDGE, state="another state")
        await stream.snapshot_with(
            "the bridge's state", "overview.workers.1.heartbeat.state", "another state"
        )
        tick = await stream.tick()
        assert set(tick["heartbeats"]) == {"bridge"}


async def test_redis_is_not_polled_without_clients(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    async with looking_into(settings) as redis, served(settings) as (server, client):
        async with client.listening() as stream:
            await stream.tick()
            assert server.broadcaster.polls > 0
        await listeners(server, 0)

        async def commands() -> int:
            return int((await redis.info("stats"))["total_commands_processed"])

        async def only_the_tests_own() -> bool:
            """Return whether Redis had only this test's own request in two intervals."""
            before = await commands()
            await asyncio.sleep(2 * sse.INTERVAL_S)
            return await commands() - before == 1

        await eventually(only_the_tests_own, "no poll of Redis any more")


async def test_many_clients_cost_redis_no_more_than_one(fresh_redis: PrivateRedis) -> None:
    async with served(page_site(fresh_redis.port)) as (server, client), AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(client.listening()) for _ in range(MAX_CLIENTS)]
        for stream in streams:
            await stream.tick()
        before = server.broadcaster.polls
        for stream in streams:
            await stream.tick()
        assert server.broadcaster.polls - before <= 2


async def test_number_of_clients_is_limited_and_a_closed_one_is_replaced(
    fresh_redis: PrivateRedis,
) -> None:
    async with served(page_site(fresh_redis.port)) as (server, client), AsyncExitStack() as stack:
        leaving = AsyncExitStack()
        await leaving.enter_async_context(client.listening())
        for _ in range(MAX_CLIENTS - 1):
            await stack.enter_async_context(client.listening())
        refused = await client.ask("/events")
        assert refused.status == 503
        assert str(MAX_CLIENTS) in refused.text
        assert server.broadcaster.listening == MAX_CLIENTS
        assert (await client.ask("/healthz")).status == 503, (
            "other requests are answered: no worker has a heartbeat"
        )
        await leaving.aclose()
        await listeners(server, MAX_CLIENTS - 1)
        async with client.listening() as stream:
            assert stream.answer.status == 200
            await stream.snapshot()


async def test_slow_client_has_only_the_newest_snapshot_queued() -> None:
    client = Client()
    for number in range(1000):
        client.offer(b"snapshot %d " % number, b"tick %d" % number)
    client.offer(b"", b"last tick")
    assert await client.next_chunk() == b"snapshot 999 last tick"
    client.close()
    assert await client.next_chunk() is None


@pytest.mark.processes
async def test_redis_outage_and_recovery_are_sent_to_clients(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        async with (
            served(page_site(server.port)) as (_server, client),
            client.listening() as stream,
        ):
            await stream.snapshot_with("Redis", "overview.redis.answers", wanted=True)
            await asyncio.to_thread(server.stop)
            found = await stream.snapshot_with("the outage", "overview.redis.answers", wanted=False)
            assert found["verdict"] == "critical"
            assert [alarm["name"] for alarm in found["alarms"]] == ["redis_unavailable"]
            answer = await client.ask("/healthz")
            assert (answer.status, answer.json["status"]) == (503, "critical")
            assert (await client.ask("/api/image?name=x")).status == 503
            server.launch()
            await asyncio.to_thread(server.wait_ready)
            await stream.snapshot_with("the return", "overview.redis.answers", wanted=True)


@pytest.mark.processes
async def test_hanging_redis_is_reported_before_the_page_seems_to_hang(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = page_site(server.port)
        async with looking_into(settings) as redis:
            assert (await read_snapshot(redis, settings)).overview.redis.answers
            server.freeze()
            found = await read_snapshot(redis, settings)
            server.thaw()
    assert not found.overview.redis.answers
    assert found.overview.redis.error
    assert [alarm.name for alarm in found.alarms] == ["redis_unavailable"]


async def test_defect_of_the_page_is_reported_and_the_stream_continues(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = page_site(fresh_redis.port)
    async with (
        looking_into(settings) as redis,
        served(settings) as (_server, client),
        client.listening() as stream,
    ):
        assert (await stream.tick())["problem"] == ""

        async def fail(*_arguments: object) -> None:
            raise ValueError("a defect")

        with monkeypatch.context() as patch:
            patch.setattr("ccarchiver_health.web.sse.read_fingerprint", fail)
            await redis.incr(Worker.SAL.fencing_token)  # like any transaction, the page then polls

            async def reported() -> bool:
                return "ValueError: a defect" in (await stream.tick())["problem"]

            await eventually(reported, "the reported problem")

        async def over() -> bool:
            return bool((await stream.tick())["problem"] == "")

        await eventually(over, "the end of the problem")
