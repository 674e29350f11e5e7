"""The list of Forwarders: malformed entries cost once, and an unchanged list costs the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from ccarchiver_core import keys
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.forwarder_list import ForwarderList
from ccarchiver_health.housekeeping import Housekeeping
from tests.core.redis_helpers import counter, holding, looking_into, site
from tests.health.harness import entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_sim.testbed.brokers import PrivateRedis

MALFORMED = 10_000
VALID = ("f1", "f2", "f1", "f3")
"""In the sequence of their registration; a Forwarder can register twice."""


async def sent_bytes(redis: Redis, action: Callable[[], Awaitable[object]]) -> int:
    """Return the bytes that Redis sends while an action is repeated ten times."""
    before = await redis.info("stats")
    for _ in range(10):
        await action()
    after = await redis.info("stats")
    return int(after["total_net_output_bytes"] - before["total_net_output_bytes"])


async def test_malformed_entries_are_moved_once_and_valid_ones_keep_their_sequence(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    valid = [entry(name).model_dump_json().encode() for name in VALID]
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        step = MALFORMED // len(valid)
        for index, raw in enumerate(valid):
            await redis.lpush(
                keys.FORWARDER_LIST, *(f"junk {index} {number}" for number in range(step)), raw
            )
        forwarders = ForwarderList(context)

        with capture_logs() as logs:
            assert await forwarders.contains("f2_consume")
            for _ in range(3):
                await forwarders.refresh()

        assert await redis.lrange(keys.FORWARDER_LIST, 0, -1) == valid[::-1]
        assert await counter(redis, "dead_letters") == MALFORMED
        [line] = [line for line in logs if line["event"] == "forwarder_list.malformed"]
        assert line["moved"] == MALFORMED
        assert line["sample"].startswith("junk")


async def test_check_of_an_unchanged_list_does_not_depend_on_its_length(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        forwarders = ForwarderList(context)

        async def cost(length: int) -> int:
            raw = entry("f1").model_dump_json()
            await redis.delete(keys.FORWARDER_LIST)
            await redis.lpush(keys.FORWARDER_LIST, *[raw] * length)
            await forwarders.refresh()
            return await sent_bytes(redis, lambda: forwarders.contains("f2_consume"))

        short, long = await cost(10), await cost(5000)

    assert long < 2 * short


async def test_unchanged_full_dead_letters_are_logged_once_and_cost_the_same_at_any_length(
    fresh_redis: PrivateRedis,
) -> None:
    limit = 200
    settings = site(fresh_redis.port, MAX_DEAD_LETTERS=limit)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        housekeeping = Housekeeping(context)

        async def fill() -> None:
            for _ in range(limit):
                transaction = Transaction()
                dead_letters.add(transaction, settings, origin="q", reason="odd", raw=b"x")
                await context.transactions.apply(transaction)

        with capture_logs() as logs:
            for _ in range(2):
                await fill()
                await housekeeping.report_bounds()
                await housekeeping.report_bounds()
        assert [line["event"] for line in logs] == ["dead_letters.full"]

        assert "cmdstat_memory|usage" in await redis.info("commandstats")
        await redis.config_resetstat()
        await housekeeping.report_bounds()
        commands = await redis.info("commandstats")
        assert "cmdstat_memory|usage" not in commands, "its cost grows with the length"
