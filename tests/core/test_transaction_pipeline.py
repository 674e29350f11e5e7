from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.errors import FencedError
from ccarchiver_core.domain.worker_messages import SessionStarted
from ccarchiver_core.keys import Worker, image
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_core.store.transaction_pipeline import (
    FAILED_PRECONDITIONS_KEPT,
    MAX_INFLIGHT_BYTES,
    TransactionPipeline,
)
from ccarchiver_sal import saved_state
from ccarchiver_sal.adapter import State
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
    site,
)

if TYPE_CHECKING:
    from pathlib import Path

MANY = 300
"""Transactions that take some tenths of a second together."""


async def test_transaction_applies_all_of_its_writes(fresh_redis: PrivateRedis) -> None:
    settings, message = site(fresh_redis.port), SessionStarted(session_id="s")
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        [entry] = await enqueue(redis, Worker.HEALTH, SessionStarted(session_id="handled"))
        transaction = (
            Transaction()
            .set_fields("a hash", {"x": 1, "y": "two"})
            .count("things", 3)
            .enqueue(Worker.SAL, message)
        )

        assert (
            await context.transactions.apply(transaction.ack(Worker.HEALTH, entry))
            is Outcome.APPLIED
        )

        assert await redis.hgetall("a hash") == {b"x": b"1", b"y": b"two"}
        assert await counter(redis, "things") == 3
        assert await messages_in(redis, Worker.SAL) == [message]
        assert await messages_in(redis, Worker.HEALTH) == []


@pytest.mark.parametrize(
    ("field", "expected", "outcome"),
    [
        ("there", "yes", Outcome.APPLIED),
        ("there", "no", Outcome.PRECONDITION_FAILED),
        ("there", None, Outcome.PRECONDITION_FAILED),
        ("missing", None, Outcome.APPLIED),
        ("missing", "yes", Outcome.PRECONDITION_FAILED),
        ("empty", "", Outcome.APPLIED),
        ("empty", None, Outcome.PRECONDITION_FAILED),
        ("missing", "", Outcome.PRECONDITION_FAILED),
    ],
)
async def test_transaction_whose_precondition_failed_writes_nothing(
    fresh_redis: PrivateRedis, field: str, expected: str | None, outcome: Outcome
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.hset("guarded", mapping={"there": "yes", "empty": ""})
        transaction = (
            Transaction().count("before").require("guarded", field, expected).count("after")
        )

        assert await context.transactions.apply(transaction) is outcome

        written = outcome is Outcome.APPLIED
        assert await counter(redis, "before") == await counter(redis, "after") == int(written)


async def test_enumeration_member_is_written_as_its_number(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        ImageLedger.fail(transaction, "i", "a test", ErrorCode.NO_RABBITMQ)
        saved_state.write_state(
            transaction, saved_state.SavedState(State.FAULT, ErrorCode.NO_RABBITMQ, "a test")
        )
        await context.transactions.apply(transaction)

        assert await redis.hget(image("i"), "failed_code") == b"5071"
        saved = await saved_state.read_saved(redis, settings.resume_window)
        assert saved == saved_state.SavedState(State.FAULT, 5071, "a test")
        assert await ImageLedger(redis).read_summaries(["i"])


async def test_precondition_on_a_string_key_compares_its_value(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.set("word", "one")

        assert (
            await context.transactions.apply(Transaction().require("word", "", "two").count("n"))
            is Outcome.PRECONDITION_FAILED
        )
        assert (
            await context.transactions.apply(Transaction().require("word", "", "one").count("n"))
            is Outcome.APPLIED
        )
        assert await counter(redis, "n") == 1


async def test_transaction_is_applied_once_when_its_reply_is_lost(
    fresh_redis: PrivateRedis,
) -> None:
    async with lossy_proxy(fresh_redis.port) as proxy:
        settings = site(proxy.port)
        async with (
            holding(Worker.BRIDGE, settings) as context,
            looking_into(site(fresh_redis.port)) as redis,
        ):
            await context.transactions.apply(Transaction().count("first"))
            proxy.lose_reply_to(b"precious")

            transaction = (
                Transaction()
                .require("made once", "by", None)
                .set_fields("made once", {"by": "precious"})
                .count("n")
            )
            assert await context.transactions.apply(transaction) is Outcome.APPLIED, (
                "its precondition failed because of its own first execution"
            )

            assert proxy.lost == 1
            assert await counter(redis, "n") == 1


async def test_each_of_many_inflight_transactions_is_applied_once_when_a_reply_is_lost(
    fresh_redis: PrivateRedis,
) -> None:
    async with lossy_proxy(fresh_redis.port) as proxy:
        settings = site(proxy.port)
        async with (
            holding(Worker.BRIDGE, settings) as context,
            looking_into(site(fresh_redis.port)) as redis,
        ):
            await context.transactions.apply(Transaction().count("first"))
            proxy.lose_reply_to(b"number 17")

            transactions = [
                Transaction().count("n").command("SET", f"number {i}", i) for i in range(50)
            ]
            outcomes = await asyncio.gather(
                *(context.transactions.apply(transaction) for transaction in transactions)
            )

            assert set(outcomes) == {Outcome.APPLIED}
            assert proxy.lost >= 1
            assert await counter(redis, "n") == 50


async def test_transaction_before_the_lease_is_acquired_raises_fenced_error(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        with pytest.raises(FencedError, match="before the lease"):
            await TransactionPipeline(redis, Worker.SAL).apply(Transaction().count("n"))

        assert await counter(redis, "n") == 0


async def test_transaction_under_an_older_lease_raises_fenced_error_and_writes_nothing(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.incr(Worker.SAL.fencing_token)

        with pytest.raises(FencedError, match="another instance has acquired the lease"):
            await context.transactions.apply(Transaction().count("n"))

        assert await counter(redis, "n") == 0


async def test_transaction_is_fenced_after_redis_has_lost_its_data(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.flushdb()

        with pytest.raises(FencedError, match="Redis has lost its data"):
            await context.transactions.apply(Transaction().count("n"))


@pytest.mark.processes
async def test_transaction_waits_while_redis_is_stopped(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with holding(Worker.SAL, settings) as context:
            await context.transactions.apply(Transaction().count("n"))
            server.stop()

            waiting = asyncio.create_task(context.transactions.apply(Transaction().count("n")))
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done, "Redis is stopped"
            server.start()

            async with within(LIMIT_S):
                assert await waiting is Outcome.APPLIED
            async with looking_into(settings) as redis:
                assert await counter(redis, "n") == 2


async def test_transaction_waits_while_redis_is_out_of_memory(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        try:
            await redis.config_set("maxmemory", "1")
            waiting = asyncio.create_task(context.transactions.apply(Transaction().count("n")))
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done
            assert await counter(redis, "n") == 0
        finally:
            await redis.config_set("maxmemory", "0")

        async with within(LIMIT_S):
            assert await waiting is Outcome.APPLIED


async def test_transaction_with_an_unknown_command_fails_immediately(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, within(LIMIT_S):
        with pytest.raises(Exception, match=r"[Uu]nknown"):
            await context.transactions.apply(Transaction().command("NO-SUCH-COMMAND"))


async def test_failed_precondition_stays_failed_when_its_reply_is_lost(
    fresh_redis: PrivateRedis,
) -> None:
    async with lossy_proxy(fresh_redis.port) as proxy:
        settings = site(proxy.port)
        async with (
            holding(Worker.BRIDGE, settings) as context,
            looking_into(site(fresh_redis.port)) as redis,
        ):
            await context.transactions.apply(Transaction().count("first"))
            proxy.lose_reply_to(b"precious")

            guarded = await context.transactions.submit(
                Transaction().require("not there", "by", "precious").count("n")
            )
            satisfies = await context.transactions.submit(
                Transaction().set_fields("not there", {"by": "precious"})
            )

            assert await guarded is Outcome.PRECONDITION_FAILED, (
                "the next transaction satisfied its precondition"
            )
            assert await satisfies is Outcome.APPLIED
            assert proxy.lost == 1
            assert await counter(redis, "n") == 0


@pytest.mark.processes
async def test_transactions_are_applied_in_the_order_of_submission(tmp_path: Path) -> None:
    """Some are submitted while Redis rejects writes, and some while it is stopped."""
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
            outcomes = [
                await context.transactions.submit(Transaction().command("RPUSH", "order", number))
                for number in range(30)
            ]
            await asyncio.wait(outcomes)
            await redis.config_set("maxmemory", "1")
            outcomes += [
                await context.transactions.submit(Transaction().command("RPUSH", "order", number))
                for number in range(30, 60)
            ]
            await redis.config_set("maxmemory", "0")
            server.kill()
            outcomes += [
                await context.transactions.submit(Transaction().command("RPUSH", "order", number))
                for number in range(60, 90)
            ]
            server.start()

            async with within(LIMIT_S):
                assert set(await asyncio.gather(*outcomes)) == {Outcome.APPLIED}

            assert await redis.lrange("order", 0, -1) == [
                str(number).encode() for number in range(90)
            ]


async def test_drain_waits_for_a_transaction_whose_caller_was_cancelled(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(Transaction().count("n"))
        await redis.config_set("min-replicas-to-write", 1)
        try:
            waiting = asyncio.create_task(context.transactions.apply(Transaction().count("n")))

            async def is_in_flight() -> bool:
                return bool(context.transactions._inflight)

            await eventually(is_in_flight, "the transaction to be in flight")
            waiting.cancel()
            await asyncio.wait({waiting})
            draining = asyncio.create_task(context.transactions.drain())
            done, _ = await asyncio.wait({draining}, timeout=0.3)
            assert not done
        finally:
            await redis.config_set("min-replicas-to-write", 0)

        async with within(LIMIT_S):
            await draining
        assert await counter(redis, "n") == 2


async def test_transaction_that_redis_cannot_execute_fails_alone(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        outcomes = [
            await context.transactions.submit(Transaction().command("RPUSH", "order", 1)),
            await context.transactions.submit(Transaction().command("NO-SUCH-COMMAND")),
            await context.transactions.submit(Transaction().command("RPUSH", "order", 2)),
        ]

        async with within(LIMIT_S):
            first, second, third = await asyncio.gather(*outcomes, return_exceptions=True)

        assert first is third is Outcome.APPLIED
        assert isinstance(second, ResponseError)
        assert await redis.lrange("order", 0, -1) == [b"1", b"2"]


async def test_transactions_continue_after_redis_lost_its_last_second_and_the_loss_is_logged(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        for _ in range(3):
            await context.transactions.apply(Transaction().count("n"))
        await redis.hset(Worker.SAL.applied, "last", 1)

        async with within(LIMIT_S):
            outcomes = [
                await context.transactions.submit(Transaction().count("n")) for _ in range(3)
            ]
            with capture_logs() as lines:
                assert set(await asyncio.gather(*outcomes)) == {Outcome.APPLIED}

        assert await counter(redis, "n") == 6
        [line] = [line for line in lines if line["event"] == "redis.writes_lost"]
        assert line["transactions"] == 2


async def test_writes_lost_with_a_snapshot_are_logged_once(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(Transaction().count("n"))
        older = await redis.dump(Worker.SAL.applied)
        assert older is not None
        for _ in range(4):
            await context.transactions.apply(Transaction().count("n"))
        await redis.restore(Worker.SAL.applied, 0, older, replace=True)

        with capture_logs() as lines:
            for _ in range(3):
                await context.transactions.apply(Transaction().count("n"))

        lost = [line["transactions"] for line in lines if line["event"] == "redis.writes_lost"]
        assert lost == [4]


async def test_pipeline_loads_its_script_again_after_script_flush(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(Transaction().count("n"))
        await redis.script_flush()

        async with within(LIMIT_S):
            assert await context.transactions.apply(Transaction().count("n")) is Outcome.APPLIED

        assert await counter(redis, "n") == 2


async def test_record_of_applied_transactions_does_not_grow(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        transactions = [
            Transaction().require("not there", "", "so").count("n")
            for _ in range(2 * FAILED_PRECONDITIONS_KEPT)
        ]
        outcomes = await asyncio.gather(
            *(context.transactions.apply(transaction) for transaction in transactions)
        )

        assert set(outcomes) == {Outcome.PRECONDITION_FAILED}
        assert await redis.hlen(Worker.SAL.applied) == 2
        assert (
            await redis.hstrlen(Worker.SAL.applied, "preconditions_failed")
            <= 8 * FAILED_PRECONDITIONS_KEPT
        )


async def test_transaction_writes_arbitrary_bytes_unchanged(fresh_redis: PrivateRedis) -> None:
    raw = bytes(range(256))
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(Transaction().command("SET", "raw", raw))

        assert await eventually(lambda: redis.get("raw"), "the bytes") == raw


async def test_effect_is_not_delayed_by_many_large_transactions(fresh_redis: PrivateRedis) -> None:
    """Each is submitted as soon as the one before is applied, as for a queue with many messages."""
    large = Transaction().command("SET", "large", "x" * 2 * MAX_INFLIGHT_BYTES)
    async with holding(Worker.BRIDGE, site(fresh_redis.port)) as context:
        pipeline, applied = context.transactions, 0

        async def apply_many() -> None:
            nonlocal applied
            for _ in range(MANY):
                await pipeline.let_effects_pass()
                await pipeline.apply(large)
                applied += 1

        others = [asyncio.create_task(apply_many()) for _ in range(3)]
        await pipeline.apply(large)
        for _ in range(10):
            await pipeline.wait_until_safe()
            await pipeline.apply(Transaction().count("effects"))

        assert applied < len(others) * MANY, "the effects did not wait for the last of them"
        await asyncio.gather(*others)
