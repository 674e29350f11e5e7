from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.worker_messages import SessionStarted, WorkerMessage
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis import client as redis_client
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.lossy_proxy import lossy_proxy
from tests.core.redis_helpers import (
    LIMIT_S,
    counter,
    eventually,
    holding,
    looking_into,
    mail_in,
    post,
    read_dead_letters,
    site,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.messaging.mailbox import Entry
    from ccarchiver_core.runtime.worker import WorkerContext


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty mailbox is given up after a moment."""
    monkeypatch.setattr(redis_client, "MAILBOX_BLOCK_S", 0.05)


def letters(*names: object) -> list[WorkerMessage]:
    return [SessionStarted(session_id=str(name)) for name in names]


def names_of(entries: list[Entry]) -> list[str]:
    found = []
    for entry in entries:
        assert isinstance(entry.message, SessionStarted)
        found.append(entry.message.session_id)
    return found


async def read_some(context: WorkerContext, *, settle: bool = True) -> list[str]:
    """Read until something comes; settle it or leave it pending."""
    async with within(LIMIT_S):
        while not (entries := await context.mailbox.read()):
            pass
    if settle:
        for entry in entries:
            await context.transactions.apply(Transaction().ack(context.worker, entry.id))
    return names_of(entries)


async def test_a_long_batch_on_a_slow_disk_shows_progress_at_each_letter(fresh_redis: PrivateRedis) -> None:
    """The worker that watches this one ends it for showing none, and a batch may take longer than WATCHDOG_TIMEOUT."""
    settings = site(fresh_redis.port)
    seen = list[int]()
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:

        async def handle(entry: Entry) -> None:
            seen.append(context.mailbox.progress)
            await context.transactions.apply(Transaction().ack(Worker.SAL, entry.id))

        await post(redis, Worker.SAL, *letters(1, 2, 3))
        handled = 0
        async with within(LIMIT_S):
            while handled < 3:
                for entry in await context.mailbox.read():
                    await context.mailbox.handle(entry, handle)
                    handled += 1

    assert len(set(seen)) == 3


async def test_mail_is_read_in_the_order_it_was_posted_and_is_gone_when_settled(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await post(redis, Worker.SAL, *letters(*range(250)))

        found = list[str]()
        while len(found) < 250:
            found += await read_some(context)

        assert found == [str(i) for i in range(250)]
        assert await mail_in(redis, Worker.SAL) == []
        assert (await redis.xpending(Worker.SAL.mailbox, "worker"))["pending"] == 0


async def test_a_restarted_worker_reads_its_own_pending_mail_first(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await post(redis, Worker.SAL, *letters("a", "b"))
        async with holding(Worker.SAL, settings) as before:
            assert await read_some(before, settle=False) == ["a", "b"]
        await post(redis, Worker.SAL, *letters("c"))

        async with holding(Worker.SAL, settings) as after:
            assert await read_some(after) == ["a", "b"]
            assert await read_some(after) == ["c"]


async def test_mail_posted_before_the_mailbox_was_ever_read_is_not_lost(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await post(redis, Worker.HEALTH, *letters("early"))
        async with holding(Worker.HEALTH, settings) as context:
            assert await read_some(context) == ["early"]


async def test_mail_whose_delivery_got_lost_on_the_way_comes_again_and_in_order(fresh_redis: PrivateRedis) -> None:
    async with (
        lossy_proxy(fresh_redis.port) as proxy,
        holding(Worker.SAL, site(proxy.port)) as context,
        looking_into(site(fresh_redis.port)) as redis,
    ):
        assert await context.mailbox.read() == []  # from here on it asks for what is new
        await post(redis, Worker.SAL, *letters(*range(5)))
        proxy.lose_reply_to(b"XREADGROUP")

        first = await read_some(context)
        await post(redis, Worker.SAL, *letters(5, 6))
        rest = await read_some(context)

        assert proxy.lost == 1
        assert first + rest == [str(i) for i in range(7)]


@pytest.mark.processes
async def test_mail_survives_a_restart_of_redis_while_it_is_waited_for(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with holding(Worker.SAL, settings) as context:
            async with looking_into(settings) as redis:
                await post(redis, Worker.SAL, *letters("unsettled"))
            assert await read_some(context, settle=False) == ["unsettled"]
            assert await context.mailbox.read() == []
            reading = asyncio.create_task(read_some(context))
            await asyncio.sleep(0.05)
            server.stop()
            server.start()

            async with within(LIMIT_S):
                assert await reading == ["unsettled"], "what was handed out before the outage is handed out again"
            async with looking_into(settings) as redis:
                await post(redis, Worker.SAL, *letters("new"))
            assert await read_some(context) == ["new"]


async def test_a_mailbox_that_redis_lost_is_made_again(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        assert await context.mailbox.read() == []
        await redis.delete(Worker.SAL.mailbox)
        await post(redis, Worker.SAL, *letters("after"))

        assert await read_some(context) == ["after"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"kind": "no such kind"}',
        b'{"kind": "session_started"}',
        b'{"session_id": "s"}',
    ],
)
async def test_an_unreadable_letter_is_dead_lettered_as_it_came_and_the_next_one_is_read(
    fresh_redis: PrivateRedis, text: bytes
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.xadd(Worker.SAL.mailbox, {"message": text})
        await post(redis, Worker.SAL, *letters("good"))

        assert await read_some(context) == ["good"]

        [dead] = await read_dead_letters(redis)
        assert dead["raw"] == text
        assert dead["origin"] == Worker.SAL.mailbox.encode()
        assert b"not a letter" in dead["reason"]
        assert await counter(redis, "dead_letters") == 1
        assert await mail_in(redis, Worker.SAL) == []


async def test_a_letter_without_text_is_dead_lettered_as_well(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.xadd(Worker.SAL.mailbox, {"post": "misspelt"})
        await post(redis, Worker.SAL, *letters("good"))

        assert await read_some(context) == ["good"]
        assert len(await read_dead_letters(redis)) == 1


async def test_pending_mail_that_was_deleted_meanwhile_is_passed_over(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        [first, _] = await post(redis, Worker.SAL, *letters("gone", "there"))
        async with holding(Worker.SAL, settings) as before:
            await read_some(before, settle=False)
        await redis.xdel(Worker.SAL.mailbox, first)

        async with holding(Worker.SAL, settings) as after:
            assert await read_some(after) == ["there"]
        assert await read_dead_letters(redis) == []
        assert (await redis.xpending(Worker.SAL.mailbox, "worker"))["pending"] == 0


async def test_an_idle_mailbox_wakes_up_at_once_for_mail(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "MAILBOX_BLOCK_S", LIMIT_S)
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        assert await context.mailbox.read() == [], "what is pending is asked for without waiting"
        reading = asyncio.create_task(read_some(context))

        async def waits() -> bool:
            return any("xreadgroup" in str(client["cmd"]) for client in await redis.client_list())

        await eventually(waits, "a blocking read")
        await post(redis, Worker.SAL, *letters("b"))
        async with within(LIMIT_S / 2):
            assert await reading == ["b"]
