"""Statuses whose records are under way: what a death, a full Redis, or a lost lease makes of them."""

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
from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker, image
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import status_publisher as reports_module
from ccarchiver_sim import pace
from tests.core.redis_helpers import eventually, holding, looking_into, mail_in, post, read_dead_letters, site
from tests.sal.test_reports import Desk

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

LIMIT_S = 60.0
FEW = 25
"""Statuses whose records fit into what may be under way."""


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


def burst_and_die(server: PrivateRedis, count: int, pause: float = 0.0) -> int:
    words = [str(server.port), str(count), str(pause), str(server.pid)]
    program = [sys.executable, "-m", "tests.sal.burst_and_die", *words]
    done = pace.run(program, LIMIT_S, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return int(done.stdout.splitlines()[-1])  # before it the log of a program that sets up none


async def left_after(server: PrivateRedis, count: int, pause: float = 0.0) -> int:
    """Have as many statuses put by a CSC that is killed; how many of those it put it would put again.

    One is allowed (decision 7): the newest. Its record was not given yet, or Redis has forgotten it, because a reply
    came while the event was put, and was unread at the death.
    """
    async with looking_into(site(server.port)) as redis:
        await post(redis, Worker.SAL, *(status(f"I{number // 9}", f"S{number % 9}") for number in range(count)))
        try:
            put = await asyncio.to_thread(burst_and_die, server, count, pause)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert 0 < put <= count

        async def recorded() -> bool:
            return len(await mail_in(redis, Worker.SAL)) <= count - put + 1

        await eventually(recorded, "what was put to be recorded, all but one perhaps")
        return put - (count - len(await mail_in(redis, Worker.SAL)))


@pytest.mark.processes
@pytest.mark.parametrize("count", [31, 61, 97])
async def test_a_csc_that_is_killed_in_a_burst_repeats_one_event_at_the_most(
    fresh_redis: PrivateRedis, count: int
) -> None:
    assert await left_after(fresh_redis, count) <= 1


@pytest.mark.processes
async def test_also_if_redis_hangs_meanwhile(fresh_redis: PrivateRedis) -> None:
    assert await left_after(fresh_redis, 97, pause=1.0) <= 1


async def test_what_redis_has_answered_is_read_before_the_next_event_is_put(fresh_redis: PrivateRedis) -> None:
    """Of a process that dies with a reply unread, Redis may forget what it has not read."""
    async with holding(Worker.SAL, site(fresh_redis.port)) as context:
        await context.transactions.apply(Transaction().count("begun"))
        connection = context.transactions._connection
        assert connection is not None
        socket = connection._writer.get_extra_info("socket")  # type: ignore[union-attr]  # it is connected

        given = await context.transactions.submit(Transaction().count("given"))
        is_answered, _, _ = select.select([socket], [], [], pace.scaled(LIMIT_S))  # while the event loop stands still
        assert is_answered

        await context.transactions.wait_until_safe()
        assert select.select([socket], [], [], 0) == ([], [], [])
        await given


async def test_while_redis_refuses_writes_few_events_go_out(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        desk = Desk(redis, context)
        await desk.report(status("I", "S00"))
        desk.recorder.put.clear()
        await redis.config_set("min-replicas-to-write", 1)
        try:
            statuses = [status("I", f"x{number}") for number in range(99)]
            reporting = asyncio.create_task(all_of(desk, statuses))
            # No more must come. A shorter effective pause can only make this pass wrongly, never fail wrongly.
            await asyncio.wait({reporting}, timeout=1.5)
            assert len(desk.recorder.put) <= FEW
        finally:
            await redis.config_set("min-replicas-to-write", 0)
        await reporting
        assert len(desk.recorder.put) == 99


async def all_of(desk: Desk, statuses: list[FileStatus]) -> None:
    for one in statuses:
        await desk.reports.publish(one, "1-1")
    await desk.reports.drain()


async def test_a_csc_that_cannot_be_sure_of_its_lease_asks_before_it_puts(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        desk = Desk(redis, context)
        await redis.incr(Worker.SAL.fencing_token)  # it was frozen, and another one took over
        context.transactions.lease_valid_until = 0.0

        with pytest.raises(FencedError):
            await desk.report(status("I", "S00"))

        assert desk.recorder.put == []


async def test_an_image_that_is_in_use_stays_in_memory(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports_module, "CACHE", 50)
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        desk = Desk(redis, context)
        await all_of(desk, [status(f"I{number}", "S00") for number in range(50)])
        desk.recorder.put.clear()
        os.kill(fresh_redis.pid, signal.SIGSTOP)  # what is reported now is recorded later
        try:
            reporting = asyncio.create_task(
                all_of(desk, [status("I0", "S01"), status("I50", "S00"), status("I0", "S01")])
            )
            # Nothing tells that it waits for Redis. A shorter effective pause can only make this pass wrongly.
            await asyncio.wait({reporting}, timeout=0.2)
        finally:
            os.kill(fresh_redis.pid, signal.SIGCONT)
        await reporting

        assert [values["obsid"] for _, values in desk.recorder.put] == ["I0", "I50"]
        assert await redis.hget(image("I0"), "retrieved") == b"2"


async def test_a_record_that_redis_cannot_write_is_a_dead_letter(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        desk = Desk(redis, context)
        await redis.hset(keys.COUNTERS, f"events:{StatusTopic.RETRIEVAL}", "no number")

        await desk.report(status("I", "S00"))

        [letter] = await read_dead_letters(redis)
        assert b"a defect of the archiver" in letter["reason"]
        assert await mail_in(redis, Worker.SAL) == []
