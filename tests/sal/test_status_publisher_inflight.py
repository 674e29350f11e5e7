"""Statuses with transactions in flight when the CSC is killed or Redis rejects writes."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.base.errors import FencedError
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker, image
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import status_publisher as publisher_module
from ccarchiver_sim import pace
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.redis_helpers import (
    enqueue,
    eventually,
    holding,
    looking_into,
    messages_in,
    read_dead_letters,
    site,
)
from tests.sal.burst_and_die import EVENT_MARK
from tests.sal.test_status_publisher import PublisherHarness

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60.0
FEW = 25
"""At least the number of statuses whose transactions may be in flight at once."""


def status(obsid: str, sensor: str) -> FileStatus:
    return FileStatus(
        topic=StatusTopic.RETRIEVAL,
        camera="COMCAM",
        archiver="CCArchiver",
        obsid=obsid,
        raft="22",
        sensor=sensor,
        filename=f"{obsid}-R22{sensor}.fits",
        status_code=0,
        description="file transferred",
    )


def burst_and_die(server: PrivateRedis, count: int, pause: float = 0.0) -> list[str]:
    """Run a CSC that publishes statuses and kills itself. Return the events that it has put."""
    words = [str(server.port), str(count), str(pause), str(server.pid)]
    program = [sys.executable, "-m", "tests.sal.burst_and_die", *words]
    done = pace.run(program, LIMIT_S, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(EVENT_MARK)]


async def left_after(server: PrivateRedis, count: int, pause: float = 0.0) -> int:
    """Let a CSC publish statuses until it is killed. Return how many it would publish again.

    One is allowed (decision 7): the newest. Its transaction was not submitted yet, or Redis has
    discarded it, because a reply arrived during the put and was unread when the process died.
    """
    async with looking_into(site(server.port)) as redis:
        await enqueue(
            redis,
            Worker.SAL,
            *(status(f"I{number // 9}", f"S{number % 9}") for number in range(count)),
        )
        try:
            put = len(await asyncio.to_thread(burst_and_die, server, count, pause))
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert 0 < put <= count

        async def recorded() -> bool:
            return len(await messages_in(redis, Worker.SAL)) <= count - put + 1

        await eventually(recorded, "the record of each published status, except at most one")
        return put - (count - len(await messages_in(redis, Worker.SAL)))


@pytest.mark.processes
@pytest.mark.parametrize("count", [31, 61, 97])
async def test_csc_killed_in_a_burst_repeats_at_most_one_event(
    fresh_redis: PrivateRedis, count: int
) -> None:
    assert await left_after(fresh_redis, count) <= 1


@pytest.mark.processes
async def test_csc_killed_while_redis_hangs_repeats_at_most_one_event(
    fresh_redis: PrivateRedis,
) -> None:
    assert await left_after(fresh_redis, 97, pause=1.0) <= 1


@pytest.mark.processes
async def test_csc_killed_in_a_batch_repeats_at_most_one_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_redis: PrivateRedis
) -> None:
    """Its last statuses are put, and their record is not submitted."""
    monkeypatch.setenv("IIP_LOG_DIR", str(tmp_path))
    count = 2 * publisher_module.BATCH - 1
    statuses = [status(f"I{number // 9}", f"S{number % 9}") for number in range(count)]
    async with looking_into(site(fresh_redis.port)) as redis:
        await enqueue(redis, Worker.SAL, *statuses)
        before = await asyncio.to_thread(burst_and_die, fresh_redis, count)
        left = len(await messages_in(redis, Worker.SAL))
        assert left > 1
        after = await asyncio.to_thread(burst_and_die, fresh_redis, left)

    assert len({*before, *after}) == count, "each event is put"
    assert len(before) + len(after) <= count + 1


@pytest.mark.processes
async def test_csc_and_redis_killed_together_repeat_at_most_one_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their records in flight are lost with both."""
    monkeypatch.setenv("IIP_LOG_DIR", str(tmp_path))
    statuses = [status(f"I{number // 9}", f"S{number % 9}") for number in range(97)]
    with PrivateRedis(tmp_path / "redis") as server:
        async with looking_into(site(server.port)) as redis:
            await enqueue(redis, Worker.SAL, *statuses)
        before = await asyncio.to_thread(burst_and_die, server, len(statuses), 1.0)
        server.kill()  # it was suspended, and has read no record of these events
        await asyncio.to_thread(server.start)
        async with looking_into(site(server.port)) as redis:
            left = len(await messages_in(redis, Worker.SAL))
        after = await asyncio.to_thread(burst_and_die, server, left)

    assert len(before) > 1
    assert left == len(statuses), "all records are lost"
    assert len({*before, *after}) == len(statuses), "each event is put"
    assert len({*before} & {*after}) <= 1


async def test_wait_until_safe_reads_the_replies_that_have_arrived(
    fresh_redis: PrivateRedis,
) -> None:
    """If a process dies with a reply unread, Redis may discard what it has not read from it."""
    async with holding(Worker.SAL, site(fresh_redis.port)) as context:
        await context.transactions.apply(Transaction().count("begun"))
        connection = context.transactions._connection
        assert connection is not None
        socket = connection._writer.get_extra_info("socket")  # type: ignore[union-attr]  # it is connected

        submitted = await context.transactions.submit(Transaction().count("submitted"))
        # The event loop does not run meanwhile.
        is_answered, _, _ = select.select([socket], [], [], pace.scaled(LIMIT_S))
        assert is_answered

        await context.transactions.wait_until_safe()
        assert select.select([socket], [], [], 0) == ([], [], [])
        await submitted


async def test_few_events_are_published_while_redis_rejects_writes(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        harness = PublisherHarness(redis, context)
        await harness.publish(status("I", "S00"))
        harness.recorder.put.clear()
        await redis.config_set("min-replicas-to-write", 1)
        try:
            statuses = [status("I", f"x{number}") for number in range(99)]
            publishing = asyncio.create_task(publish_all(harness, statuses))
            # No more events must follow. A shorter pause can hide a failure, but never cause one.
            await asyncio.wait({publishing}, timeout=1.5)
            assert len(harness.recorder.put) <= FEW
        finally:
            await redis.config_set("min-replicas-to-write", 0)
        await publishing
        assert len(harness.recorder.put) == 99


async def publish_all(harness: PublisherHarness, statuses: list[FileStatus]) -> None:
    for status_message in statuses:
        await harness.publisher.publish(status_message, "1-1")
    await harness.publisher.drain()


async def test_csc_with_an_uncertain_lease_checks_it_before_publishing(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        harness = PublisherHarness(redis, context)
        # as if the CSC was frozen and another instance took over
        await redis.incr(Worker.SAL.fencing_token)
        context.transactions.lease_valid_until = 0.0

        with pytest.raises(FencedError):
            await harness.publish(status("I", "S00"))

        assert harness.recorder.put == []


async def test_image_with_transactions_in_flight_stays_in_the_cache(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CACHE", 50)
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        harness = PublisherHarness(redis, context)
        await publish_all(harness, [status(f"I{number}", "S00") for number in range(50)])
        harness.recorder.put.clear()
        os.kill(fresh_redis.pid, signal.SIGSTOP)  # what is published now is recorded later
        try:
            publishing = asyncio.create_task(
                publish_all(
                    harness, [status("I0", "S01"), status("I50", "S00"), status("I0", "S01")]
                )
            )
            # No sign shows that it waits. A shorter pause can hide a failure, but never cause one.
            await asyncio.wait({publishing}, timeout=0.2)
        finally:
            os.kill(fresh_redis.pid, signal.SIGCONT)
        await publishing

        assert [values["obsid"] for _, values in harness.recorder.put] == ["I0", "I50"]
        assert await redis.hget(image("I0"), "retrieved") == b"2"


async def test_status_that_redis_cannot_record_is_dead_lettered(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that a person has changed are set aside, so only a defect of the archiver is left."""

    def record_status(transaction: Transaction, *_arguments: object, **_options: object) -> None:
        transaction.command("HSET", keys.image("I"), "a field without a value")

    monkeypatch.setattr(ImageLedger, "record_status", staticmethod(record_status))
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        harness = PublisherHarness(redis, context)
        await harness.publish(status("I", "S00"))

        [dead_letter] = await read_dead_letters(redis)
        assert b"a defect of the archiver" in dead_letter["reason"]
        assert await messages_in(redis, Worker.SAL) == []
