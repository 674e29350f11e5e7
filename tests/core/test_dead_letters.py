from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core.keys import Worker
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import counter, holding, looking_into, read_dead_letters, site

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

RAW = bytes(range(256))


async def test_a_dead_letter_keeps_reason_origin_image_and_the_raw_bytes(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        dead_letters.add(
            transaction,
            settings,
            origin="telemetry_queue",
            reason="not YAML",
            raw=RAW,
            obsid="CC_O_1",
        )
        await context.transactions.apply(transaction)

        [dead_letter] = await read_dead_letters(redis)

        assert dead_letter["raw"] == RAW
        assert (dead_letter["origin"], dead_letter["reason"], dead_letter["obsid"]) == (
            b"telemetry_queue",
            b"not YAML",
            b"CC_O_1",
        )
        assert dead_letter["at"]
        assert await counter(redis, "dead_letters") == 1


async def test_oldest_dead_letters_are_trimmed_at_the_limit(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, MAX_DEAD_LETTERS=5)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        for number in range(12):
            transaction = Transaction()
            dead_letters.add(transaction, settings, origin="q", reason="bad", raw=b"%d" % number)
            await context.transactions.apply(transaction)

        assert [dead_letter["raw"] for dead_letter in await read_dead_letters(redis)] == [
            b"7",
            b"8",
            b"9",
            b"10",
            b"11",
        ]
        assert await counter(redis, "dead_letters") == 12, "the counter includes the trimmed ones"


async def test_dead_letter_reason_is_truncated(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        dead_letters.add(transaction, settings, origin="q", reason="x" * 100_000, raw=b"")
        await context.transactions.apply(transaction)

        [dead_letter] = await read_dead_letters(redis)

        assert len(dead_letter["reason"]) == dead_letters.REASON_LENGTH


async def test_dead_letters_are_listed_newest_first_found_by_id_and_dropped(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        for raw in (b"one", b"two", RAW):
            transaction = Transaction()
            dead_letters.add(transaction, settings, origin="q", reason="bad", raw=raw)
            await context.transactions.apply(transaction)

        newest, older = await dead_letters.newest(redis, 2)

        assert (newest.raw, older.raw) == (RAW, b"two")
        assert await dead_letters.find(redis, newest.id) == newest
        assert await dead_letters.find(redis, "1-1") is None
        assert await dead_letters.drop(redis, newest.id)
        assert not await dead_letters.drop(redis, newest.id)
        assert [dead_letter["raw"] for dead_letter in await read_dead_letters(redis)] == [
            b"one",
            b"two",
        ]
