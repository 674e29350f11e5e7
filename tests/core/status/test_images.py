from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.images import find_names, names_between, newest_names
from ccarchiver_core.store.image_ledger import ImageLedger
from tests.core.redis_helpers import looking_into, site
from tests.support.ledger_builder import LedgerBuilder, Progress

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

NAMES = ("CC_O_20261121_000012", "CC_O_20261122_000002", "CC_O_20261122_000012", "odd[1]*_name")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("CC_O_20261122_000002", ["CC_O_20261122_000002"]),
        ("12", ["CC_O_20261122_000012", "CC_O_20261121_000012"]),
        ("000012", ["CC_O_20261122_000012", "CC_O_20261121_000012"]),
        ("2", ["CC_O_20261122_000002"]),
        ("CC_O_20261122", ["CC_O_20261122_000012", "CC_O_20261122_000002"]),
        ("odd[1]*", ["odd[1]*_name"]),
        ("CC_?", []),
        ("0", []),
        ("*", []),
    ],
)
async def test_find_names_accepts_a_part_of_the_image_name(
    fresh_redis: PrivateRedis, wanted: str, found: list[str]
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        for at, name in enumerate(NAMES):
            await LedgerBuilder(redis, settings).exposure(name, at, float(at))

        assert await find_names(redis, wanted, 10) == found
        assert await find_names(redis, wanted, 1) == found[:1]


async def test_find_names_searches_thousands_of_images(fresh_redis: PrivateRedis) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        await redis.zadd("ccarchiver:images", {f"CC_O_20261122_{n:06d}": n for n in range(25_000)})

        assert await find_names(redis, "24999", 10) == ["CC_O_20261122_024999"]
        assert len(await find_names(redis, "CC_O", 10)) == 10


async def test_summaries_count_events_and_retrieved_and_ingested_files(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        ledger_builder = LedgerBuilder(redis, settings)
        await ledger_builder.exposure("whole", 1, 100.0)
        await ledger_builder.exposure("part", 2, 200.0, Progress.RETRIEVED, files=4)
        await ledger_builder.failed("failed", 3, 300.0, "rejected", 5752)

        whole, part, failed = await ImageLedger(redis).read_summaries(
            ["whole", "part", "gone", "failed"]
        )

        assert (whole.state, whole.events, whole.retrieved, whole.ingested) == (
            ImageState.COMPLETE,
            3,
            9,
            9,
        )
        assert whole.took_s is not None
        assert whole.took_s > 0
        assert (part.state, part.retrieved, part.ingested, part.took_s) == (
            ImageState.ACCEPTED,
            4,
            0,
            None,
        )
        assert (failed.failed, failed.failed_code) == ("rejected", 5752)
        assert await names_between(redis, 100.0, 200.0) == ["whole"]
        assert await newest_names(redis, 2) == ["failed", "part"]
