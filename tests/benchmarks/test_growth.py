from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.growth import complete_image
from ccarchiver_core import keys, ledger, statuses
from ccarchiver_core.exposure import EventKind, Order
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.mail import StatusTopic
from ccarchiver_core.redis_client import make_client, read_members
from ccarchiver_core.settings import Settings

if TYPE_CHECKING:
    from ccarchiver_sim.brokers import PrivateRedis

IMAGE = "CC_O_20260101_000001"


async def test_a_made_up_image_is_complete_as_the_archiver_leaves_it(fresh_redis: PrivateRedis) -> None:
    settings = Settings.model_validate({"REDIS_PORT": fresh_redis.port})
    redis = make_client(settings)
    try:
        for words in complete_image(IMAGE, 1, settings).operations:
            await redis.execute_command(*words)
        record = await ledger.read_record(redis, IMAGE)
        unfinished, images = await ledger.unfinished(redis), await read_members(redis, keys.IMAGES)
    finally:
        await redis.aclose()
    assert record["state"] == ImageState.COMPLETE
    assert {*EventKind, *Order, "target_dir"} <= record.keys()
    assert {topic: statuses.count_good(record, topic) for topic in StatusTopic} == dict.fromkeys(
        StatusTopic, settings.files_per_image
    )
    assert (unfinished, images) == ([], [IMAGE])
