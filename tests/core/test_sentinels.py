"""Which answer of several Sentinels counts, and a connection attempt to a dead master's host."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from redis.asyncio import Connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from ccarchiver_core.redis.sentinel import MasterConnection, MasterPool
from ccarchiver_core.redis.sentinels import ANSWER_GRACE, FailoverRunningError, Sentinels
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.core.redis_helpers import LIMIT_S

if TYPE_CHECKING:
    from ccarchiver_core.redis.timeout_redis import TimeoutRedis

NAME = "ccarchiver"
OLD, NEW = (LOOPBACK, 1), (LOOPBACK, 2)


class Pool:
    """The part of a pool that contains the address of a Sentinel."""

    connection_kwargs: dict[str, object] = {"host": LOOPBACK, "port": 26379}  # noqa: RUF012


class FakeSentinel:
    """A Sentinel whose answer a test sets."""

    connection_pool = Pool()

    def __init__(self, epoch: int = 0, master: tuple[str, int] = OLD, flags: str = "") -> None:
        self.epoch, self.master, self.flags = epoch, master, flags
        self.promoted = master
        self.hangs = False
        self.is_closed = False

    async def sentinel_masters(self) -> dict[str, dict[str, object]]:
        """Return the reply of SENTINEL MASTERS."""
        if self.hangs:
            await asyncio.sleep(100 * ANSWER_GRACE)
        host, port = self.master
        return {
            NAME: {
                "ip": host,
                "port": port,
                "flags": f"master,{self.flags}",
                "config-epoch": self.epoch,
                "is_master": True,
                "is_sdown": "s_down" in self.flags,
                "is_odown": "o_down" in self.flags,
            }
        }

    async def aclose(self) -> None:
        """Record the call; there is no connection."""
        self.is_closed = True

    async def sentinel_get_master_addr_by_name(self, _name: str) -> tuple[bytes, int]:
        """Return the reply of SENTINEL GET-MASTER-ADDR-BY-NAME."""
        host, port = self.promoted
        return host.encode(), port


def sentinels(*members: FakeSentinel) -> Sentinels:
    return Sentinels(cast("list[TimeoutRedis]", members), NAME)


async def test_newest_answer_counts_whichever_sentinel_gives_it() -> None:
    for members in (
        (FakeSentinel(1, OLD), FakeSentinel(2, NEW), FakeSentinel(1, OLD)),
        (FakeSentinel(2, NEW), FakeSentinel(1, OLD)),
    ):
        assert await sentinels(*members).find_master() == NEW


async def test_sentinel_that_was_away_cannot_lead_back_to_the_former_master() -> None:
    informed, stale = [FakeSentinel(2, NEW), FakeSentinel(2, NEW)], FakeSentinel(1, OLD)
    group = sentinels(*informed, stale)
    assert await group.find_master() == NEW
    for member in informed:
        member.flags = "s_down"
    with pytest.raises(MasterNotFoundError, match="know only a former master"):
        await group.find_master()


async def test_older_answer_of_most_sentinels_counts() -> None:
    """They were set up again, and count their failovers from the beginning."""
    members = [FakeSentinel(5, NEW), FakeSentinel(5, NEW), FakeSentinel(5, NEW)]
    group = sentinels(*members)
    assert await group.find_master() == NEW
    for member in members[:2]:
        member.epoch, member.master = 0, OLD
    members[2].flags = "s_down"
    assert await group.find_master() == OLD


async def test_master_is_not_used_during_a_failover_and_the_promoted_one_is() -> None:
    leader = FakeSentinel(1, OLD, "failover_in_progress")
    group = sentinels(FakeSentinel(1, OLD), leader)
    with pytest.raises(FailoverRunningError):
        await group.find_master()
    leader.promoted, leader.epoch = NEW, 2
    assert await group.find_master() == NEW


async def test_sentinel_that_hangs_delays_the_others_only_shortly() -> None:
    hanging = FakeSentinel(1, OLD)
    hanging.hangs = True
    async with within(LIMIT_S):
        begin = asyncio.get_running_loop().time()
        assert await sentinels(hanging, FakeSentinel(1, OLD)).find_master() == OLD
        assert asyncio.get_running_loop().time() - begin < 50 * ANSWER_GRACE


async def test_attempt_to_connect_ends_when_the_master_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that is down answers no SYN, so an attempt would last until its time limit."""
    started = asyncio.Event()

    async def never(*_: object) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Connection, "_connect", never)
    monkeypatch.setattr("ccarchiver_core.redis.master_watch.MasterWatch._listen", never)
    only = FakeSentinel(1, OLD)
    pool = MasterPool(
        sentinels(only), connection_class=MasterConnection, retry=Retry(NoBackoff(), 0)
    )
    connecting = asyncio.create_task(pool.get_connection())
    async with within(LIMIT_S):
        await started.wait()
        only.epoch, only.master = 2, NEW
        with pytest.raises(RedisConnectionError, match="have replaced the master"):
            await connecting
    await pool.aclose()


async def test_sentinels_are_closed_although_the_caller_is_cancelled_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ending, may_end = asyncio.Event(), asyncio.Event()

    async def end_slowly(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await may_end.wait()

    monkeypatch.setattr("ccarchiver_core.redis.master_watch.MasterWatch._listen", end_slowly)
    members = FakeSentinel(), FakeSentinel()
    pool = MasterPool(sentinels(*members), connection_class=MasterConnection)
    await pool.find_master()
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.aclose())
    async with within(LIMIT_S):
        await ending.wait()
        closing.cancel()
        await asyncio.wait({closing})
    may_end.set()

    assert closing.cancelled()
    assert [member.is_closed for member in members] == [True, True]
