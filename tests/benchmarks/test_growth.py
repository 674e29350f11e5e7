from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scaling import complete_image
from ccarchiver_core import keys
from ccarchiver_core.config.settings import Settings
from ccarchiver_core.domain.exposure import EventKind, Instruction
from ccarchiver_core.domain.worker_messages import StatusTopic
from ccarchiver_core.redis.client import make_client, read_members
from ccarchiver_core.store import file_status_fields, ledger
from ccarchiver_core.store.ledger import ImageState

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

IMAGE = "CC_O_20260101_000001"


async def test_a_made_up_image_is_complete_as_the_archiver_leaves_it(fresh_redis: PrivateRedis) -> None:
    settings = Settings.model_validate({"REDIS_PORT": fresh_redis.port})
    redis = make_client(settings)
    try:
        for words in complete_image(IMAGE, 1, settings).commands:
            await redis.execute_command(*words)
        record = await ledger.read_record(redis, IMAGE)
        unfinished, images = await ledger.unfinished(redis), await read_members(redis, keys.IMAGES)
    finally:
        await redis.aclose()
    assert record["state"] == ImageState.COMPLETE
    assert {*EventKind, *Instruction, "target_dir"} <= record.keys()
    assert {topic: file_status_fields.count_good(record, topic) for topic in StatusTopic} == dict.fromkeys(
        StatusTopic, settings.files_per_image
    )
    assert (unfinished, images) == ([], [IMAGE])
