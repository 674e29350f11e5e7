from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scaling import complete_image
from ccarchiver_core import keys
from ccarchiver_core.config.settings import Settings
from ccarchiver_core.domain.exposure import EventKind, Instruction
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.replies import read_members
from ccarchiver_core.store.image_ledger import ImageLedger
from tests.core.redis_helpers import read_fields

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

IMAGE = "CC_O_20260101_000001"


async def test_generated_image_is_complete_like_one_of_the_archiver(
    fresh_redis: PrivateRedis,
) -> None:
    settings = Settings.model_validate({"REDIS_PORT": fresh_redis.port})
    redis = make_client(settings)
    try:
        for words in complete_image(IMAGE, 1, settings).commands:
            await redis.execute_command(*words)
        record, image = await read_fields(redis, IMAGE), await ImageLedger(redis).read(IMAGE)
        unfinished, images = (
            await ImageLedger(redis).open_images(),
            await read_members(redis, keys.IMAGES),
        )
    finally:
        await redis.aclose()
    assert image is not None
    assert image.state is ImageState.COMPLETE
    assert {*EventKind, *Instruction, "target_dir"} <= record.keys()
    assert {topic: image.count_good(topic) for topic in StatusTopic} == dict.fromkeys(
        StatusTopic, settings.files_per_image
    )
    assert (unfinished, images) == ([], [IMAGE])
