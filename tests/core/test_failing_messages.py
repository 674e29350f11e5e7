"""A message that keeps failing becomes a dead letter, and an operator can requeue it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.base.errors import FencedError, RejectedError
from ccarchiver_core.domain.worker_messages import Requeue, SessionStarted
from ccarchiver_core.keys import FORWARDER_LIST, UNFINISHED, Worker
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import (
    counter,
    enqueue,
    holding,
    looking_into,
    messages_in,
    read_dead_letters,
    site,
)

if TYPE_CHECKING:
    from ccarchiver_core.messaging.mailbox import Entry
    from ccarchiver_sim.testbed.brokers import PrivateRedis


async def test_message_that_keeps_failing_is_dead_lettered_and_the_next_one_is_handled(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await enqueue(
            redis,
            Worker.SAL,
            SessionStarted(session_id="poison"),
            SessionStarted(session_id="good"),
        )
        handled = list[str]()

        async def handler(entry: Entry) -> None:
            assert isinstance(entry.message, SessionStarted)
            if entry.message.session_id == "poison":
                raise KeyError("a defect")
            handled.append(entry.message.session_id)
            await context.transactions.apply(Transaction().ack(Worker.SAL, entry.id))

        entries: list[Entry] = []
        while not entries:
            entries = await context.mailbox.read()
        for entry in entries:
            await context.mailbox.handle(entry, handler)

        assert handled == ["good"]
        assert await messages_in(redis, Worker.SAL) == []
        [dead] = await read_dead_letters(redis)
        assert b"KeyError" in dead["reason"]
        assert SessionStarted.model_validate_json(dead["raw"]).session_id == "poison"


async def test_fenced_error_of_a_handler_leaves_the_message_in_the_mailbox(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await enqueue(redis, Worker.SAL, SessionStarted(session_id="s"))

        async def handler(_entry: Entry) -> None:
            raise FencedError("another instance")

        entries: list[Entry] = []
        while not entries:
            entries = await context.mailbox.read()
        with pytest.raises(FencedError):
            await context.mailbox.handle(entries[0], handler)

        assert len(await messages_in(redis, Worker.SAL)) == 1


@pytest.mark.parametrize("origin", ["telemetry_queue", Worker.SAL.mailbox, FORWARDER_LIST])
async def test_requeue_puts_a_dead_letter_back_where_it_came_from(
    fresh_redis: PrivateRedis, origin: str
) -> None:
    settings = site(fresh_redis.port)
    raw = b'{"kind": "session_started", "session_id": "s"}'
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        dead_letters.add(transaction, settings, origin=origin, reason="a test", raw=raw)
        await context.transactions.apply(transaction)
        [dead_letter] = await dead_letters.newest(redis, 10)

        await dead_letters.requeue(redis, dead_letter)

        assert await dead_letters.newest(redis, 10) == []
        assert await counter(redis, "dead_letters_requeued") == 1
        if origin == FORWARDER_LIST:
            assert await redis.rpop(FORWARDER_LIST) == raw
        elif origin == Worker.SAL.mailbox:
            assert await messages_in(redis, Worker.SAL) == [SessionStarted(session_id="s")]
        else:
            assert await messages_in(redis, Worker.BRIDGE) == [Requeue(queue=origin, raw=raw)]


@pytest.mark.parametrize("origin", [UNFINISHED, f"{dead_letters.SAL_ORIGIN}startIntegration"])
async def test_requeue_of_an_image_or_event_is_rejected_with_a_remedy(
    fresh_redis: PrivateRedis, origin: str
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        dead_letters.add(
            transaction, settings, origin=origin, reason="a test", raw=b"{}", obsid="i"
        )
        await context.transactions.apply(transaction)
        [dead_letter] = await dead_letters.newest(redis, 10)

        with pytest.raises(RejectedError, match=r"ccarchiver image i --retry|drop it"):
            await dead_letters.requeue(redis, dead_letter)

        assert len(await dead_letters.newest(redis, 10)) == 1


async def test_find_returns_none_for_an_unknown_id(fresh_redis: PrivateRedis) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        assert await dead_letters.find(redis, "nonsense") is None
        assert await dead_letters.find(redis, "1-1") is None
