from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.worker_messages import SessionStarted, WorkerMessage
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis import replies
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.lossy_proxy import lossy_proxy
from tests.core.redis_helpers import (
    LIMIT_S,
    counter,
    enqueue,
    eventually,
    holding,
    looking_into,
    messages_in,
    read_dead_letters,
    site,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.messaging.mailbox import Entry
    from ccarchiver_core.runtime.worker import WorkerContext


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of an empty mailbox returns after a moment."""
    monkeypatch.setattr(replies, "MAILBOX_BLOCK_S", 0.05)


def messages(*names: object) -> list[WorkerMessage]:
    return [SessionStarted(session_id=str(name)) for name in names]


def names_of(entries: list[Entry]) -> list[str]:
    found = []
    for entry in entries:
        assert isinstance(entry.message, SessionStarted)
        found.append(entry.message.session_id)
    return found


async def read_some(context: WorkerContext, *, ack: bool = True) -> list[str]:
    """Read until messages arrive. Ack them or leave them pending."""
    async with within(LIMIT_S):
        while not (entries := await context.mailbox.read()):
            pass
    if ack:
        for entry in entries:
            await context.transactions.apply(Transaction().ack(context.worker, entry.id))
    return names_of(entries)


async def test_mailbox_progress_changes_with_each_handled_message(
    fresh_redis: PrivateRedis,
) -> None:
    """A batch may take longer than WATCHDOG_TIMEOUT: the watchdog must see progress."""
    settings = site(fresh_redis.port)
    seen = list[int]()
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:

        async def handle(entry: Entry) -> None:
            seen.append(context.mailbox.progress)
            await context.transactions.apply(Transaction().ack(Worker.SAL, entry.id))

        await enqueue(redis, Worker.SAL, *messages(1, 2, 3))
        handled = 0
        async with within(LIMIT_S):
            while handled < 3:
                for entry in await context.mailbox.read():
                    await context.mailbox.handle(entry, handle)
                    handled += 1

    assert len(set(seen)) == 3


async def test_messages_are_read_in_order_and_removed_when_acked(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await enqueue(redis, Worker.SAL, *messages(*range(250)))

        found = list[str]()
        while len(found) < 250:
            found += await read_some(context)

        assert found == [str(i) for i in range(250)]
        assert await messages_in(redis, Worker.SAL) == []
        assert (await redis.xpending(Worker.SAL.mailbox, "worker"))["pending"] == 0


async def test_restarted_worker_reads_its_pending_messages_first(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await enqueue(redis, Worker.SAL, *messages("a", "b"))
        async with holding(Worker.SAL, settings) as before:
            assert await read_some(before, ack=False) == ["a", "b"]
        await enqueue(redis, Worker.SAL, *messages("c"))

        async with holding(Worker.SAL, settings) as after:
            assert await read_some(after) == ["a", "b"]
            assert await read_some(after) == ["c"]


async def test_message_enqueued_before_the_first_read_is_not_lost(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await enqueue(redis, Worker.HEALTH, *messages("early"))
        async with holding(Worker.HEALTH, settings) as context:
            assert await read_some(context) == ["early"]


async def test_messages_are_delivered_again_in_order_after_a_lost_reply(
    fresh_redis: PrivateRedis,
) -> None:
    async with (
        lossy_proxy(fresh_redis.port) as proxy,
        holding(Worker.SAL, site(proxy.port)) as context,
        looking_into(site(fresh_redis.port)) as redis,
    ):
        assert await context.mailbox.read() == []  # from here on it reads new messages
        await enqueue(redis, Worker.SAL, *messages(*range(5)))
        proxy.lose_reply_to(b"XREADGROUP")

        first = await read_some(context)
        await enqueue(redis, Worker.SAL, *messages(5, 6))
        rest = await read_some(context)

        assert proxy.lost == 1
        assert first + rest == [str(i) for i in range(7)]


@pytest.mark.processes
async def test_pending_messages_survive_a_redis_restart_during_a_read(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with holding(Worker.SAL, settings) as context:
            async with looking_into(settings) as redis:
                await enqueue(redis, Worker.SAL, *messages("pending"))
            assert await read_some(context, ack=False) == ["pending"]
            assert await context.mailbox.read() == []
            reading = asyncio.create_task(read_some(context))
            await asyncio.sleep(0.05)
            server.stop()
            server.start()

            async with within(LIMIT_S):
                assert await reading == ["pending"], (
                    "a message delivered before the outage is delivered again"
                )
            async with looking_into(settings) as redis:
                await enqueue(redis, Worker.SAL, *messages("new"))
            assert await read_some(context) == ["new"]


@pytest.mark.processes
async def test_acked_messages_are_not_delivered_again_after_a_redis_restart(
    tmp_path: Path,
) -> None:
    sent = [str(number) for number in range(50)]
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
            await enqueue(redis, Worker.SAL, *messages(*sent))
            assert await read_some(context) == sent
        server.restart()
        async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
            await enqueue(redis, Worker.SAL, *messages("new"))
            assert await read_some(context) == ["new"]


async def test_mailbox_is_created_again_after_redis_lost_it(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        assert await context.mailbox.read() == []
        await redis.delete(Worker.SAL.mailbox)
        await enqueue(redis, Worker.SAL, *messages("after"))

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
async def test_unreadable_message_is_dead_lettered_raw_and_the_next_one_is_read(
    fresh_redis: PrivateRedis, text: bytes
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.xadd(Worker.SAL.mailbox, {"message": text})
        await enqueue(redis, Worker.SAL, *messages("good"))

        assert await read_some(context) == ["good"]

        [dead] = await read_dead_letters(redis)
        assert dead["raw"] == text
        assert dead["origin"] == Worker.SAL.mailbox.encode()
        assert b"not a message" in dead["reason"]
        assert await counter(redis, "dead_letters") == 1
        assert await messages_in(redis, Worker.SAL) == []


async def test_entry_without_a_message_field_is_dead_lettered(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.xadd(Worker.SAL.mailbox, {"messages": "misspelt"})
        await enqueue(redis, Worker.SAL, *messages("good"))

        assert await read_some(context) == ["good"]
        assert len(await read_dead_letters(redis)) == 1


async def test_pending_message_that_was_deleted_is_skipped(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        [first, _] = await enqueue(redis, Worker.SAL, *messages("gone", "there"))
        async with holding(Worker.SAL, settings) as before:
            await read_some(before, ack=False)
        await redis.xdel(Worker.SAL.mailbox, first)

        async with holding(Worker.SAL, settings) as after:
            assert await read_some(after) == ["there"]
        assert await read_dead_letters(redis) == []
        assert (await redis.xpending(Worker.SAL.mailbox, "worker"))["pending"] == 0


async def test_blocking_read_returns_immediately_when_a_message_arrives(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "MAILBOX_BLOCK_S", LIMIT_S)
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        assert await context.mailbox.read() == [], "pending messages are read without waiting"
        reading = asyncio.create_task(read_some(context))

        async def waits() -> bool:
            return any("xreadgroup" in str(client["cmd"]) for client in await redis.client_list())

        await eventually(waits, "a blocking read")
        await enqueue(redis, Worker.SAL, *messages("b"))
        async with within(LIMIT_S / 2):
            assert await reading == ["b"]
