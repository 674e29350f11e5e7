"""StatusPublisher: statuses that arrive together share a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.keys import Worker, image
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_sal.status_publisher import BATCH
from tests.core.redis_helpers import counter, enqueue, messages_in, read_dead_letters
from tests.sal.test_status_publisher import PublisherHarness, publisher_at_work

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction
    from ccarchiver_sim.testbed.brokers import PrivateRedis


@pytest.fixture
def log_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the publisher a file of the newest puts, without which it batches nothing."""
    monkeypatch.setenv("IIP_LOG_DIR", str(tmp_path))
    return tmp_path


def status(obsid: str, code: int = 0) -> FileStatus:
    return FileStatus(
        topic=StatusTopic.IN_OODS,
        camera="COMCAM",
        archiver="CCArchiver",
        obsid=obsid,
        raft="22",
        sensor="S00",
        filename=f"{obsid}-R22S00.fits",
        status_code=code,
        description="file ingested",
    )


async def applied(redis: Redis) -> int:
    """Return the number of transactions of the CSC."""
    return int(await redis.hget(Worker.SAL.applied, "last") or 0)


async def publish_together(harness: PublisherHarness, statuses: list[FileStatus]) -> None:
    """Publish statuses as the CSC does when it has read them at once."""
    harness.publisher.open()
    entries = await enqueue(harness.redis, Worker.SAL, *statuses)
    await harness.publisher.prepare(statuses)
    for one, entry in zip(statuses, entries, strict=True):
        await harness.publisher.publish(one, entry)
    await harness.publisher.drain()
    harness.publisher.close()


async def test_statuses_that_arrive_together_share_a_transaction(
    fresh_redis: PrivateRedis, log_dir: Path
) -> None:
    del log_dir
    statuses = [status(f"I{number}", code=number % 2) for number in range(2 * BATCH)]
    statuses.append(statuses[0])  # a duplicate
    async with publisher_at_work(fresh_redis) as harness:
        before = await applied(harness.redis)
        await publish_together(harness, statuses)

        assert await applied(harness.redis) - before == 3
        put = [(values["obsid"], values["statusCode"]) for _, values in harness.recorder.put]
        assert put == [(one.obsid, one.status_code) for one in statuses[:-1]], "in order, once"
        assert await messages_in(harness.redis, Worker.SAL) == [], "all are acked"
        topic = StatusTopic.IN_OODS
        assert await counter(harness.redis, f"events:{topic}") == 2 * BATCH
        assert await counter(harness.redis, f"failures:{topic}") == BATCH
        assert await counter(harness.redis, f"duplicate_statuses:{topic}") == 1
        assert await counter(harness.redis, "images_unannounced") == 2 * BATCH
        records = await ImageLedger(harness.redis).read_many([one.obsid for one in statuses])
        codes = [[found.code for found in record.statuses] for record in records if record]
        assert codes == [[one.status_code] for one in statuses]


async def test_without_the_file_of_the_newest_puts_each_status_has_its_own_transaction(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IIP_LOG_DIR", raising=False)
    async with publisher_at_work(fresh_redis) as harness:
        before = await applied(harness.redis)
        await publish_together(harness, [status(f"I{number}") for number in range(5)])

        assert await applied(harness.redis) - before == 5


async def test_status_that_redis_cannot_record_does_not_affect_the_others_of_its_batch(
    fresh_redis: PrivateRedis, log_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del log_dir
    record_status = ImageLedger.record_status

    def record(
        transaction: Transaction, status: FileStatus, published_at: float, good_count: int
    ) -> None:
        if status.obsid == "I1":
            transaction.command("HSET", keys.image("I1"), "a field without a value")
        else:
            record_status(transaction, status, published_at, good_count)

    monkeypatch.setattr(ImageLedger, "record_status", staticmethod(record))
    async with publisher_at_work(fresh_redis) as harness:
        await publish_together(harness, [status(f"I{number}") for number in range(3)])

        [dead_letter] = await read_dead_letters(harness.redis)
        assert b"a defect of the archiver" in dead_letter["reason"]
        assert b"I1" in dead_letter["raw"]
        assert await harness.redis.hget(image("I0"), "ingested") == b"1"
        assert await harness.redis.hget(image("I2"), "ingested") == b"1"
        assert await messages_in(harness.redis, Worker.SAL) == []


async def test_record_of_another_type_is_found_when_many_are_read_at_once(
    fresh_redis: PrivateRedis,
) -> None:
    async with publisher_at_work(fresh_redis) as harness:
        await harness.redis.set(image("I0"), "a text")
        await harness.publish(status("I1"))

        unreadable, readable, missing = await ImageLedger(harness.redis).read_many(
            ["I0", "I1", "I2"]
        )

        assert unreadable is not None
        assert unreadable.unreadable
        assert readable is not None
        assert readable.count_good(StatusTopic.IN_OODS) == 1
        assert missing is None
