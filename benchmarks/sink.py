"""The far end of each hop: a light process that only notes when something reached it.

For the floor it hears the driver's own events, messages and stream entries; for the archiver it hears the CSC's
events. Both by the same means, so that what they cost here is in both.
"""

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from benchmarks.event_times import GOT, file_key, now
from benchmarks.sal import floor_partition, listener
from benchmarks.timestamp_recorder import TAKE, TimestampRecorder, serve
from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
from ccarchiver_core.redis.client import make_client, read_stream, transact
from ccarchiver_sim.peers.common.async_run import run_async_peer
from ccarchiver_sim.peers.common.runloop import say
from ccarchiver_sim.peers.common.site import Site
from ccarchiver_sim.testbed.environment import PARTITION
from ccarchiver_sim.testbed.sal_observer import CAMERA, CSC, END_READOUT, INGESTED, RETRIEVED

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

FLOOR_SAL, FLOOR_RABBIT, FLOOR_REDIS = "floor sal", "floor rabbit", "floor redis"
"""Names of the hops when each is taken alone."""

FLOOR_QUEUE = "bench_floor"
FLOOR_STREAM = "bench:floor"
FLOOR_GROUP = "far"
FLOOR_DATABASE = 13
"""Beside the archiver's own (14): its housekeeping shall not meet what is not its own."""
READ_COUNT = 100
"""Entries taken at once, as the archiver's mailboxes do."""
KEY_FIELD = re.compile(rb"^IMAGE_ID: (\S+)$", re.MULTILINE)
"""Where a floor message says which one it is."""


def floor_settings(settings: "Settings") -> "Settings":
    """Give the settings by which the floor's Redis is reached: the archiver's, in a database of its own."""
    return settings.model_copy(update={"archiver_redis_db": FLOOR_DATABASE})


async def make_floor_stream(redis: "Redis") -> None:
    """Make the floor's stream and its group; safe to repeat."""
    try:
        await redis.xgroup_create(FLOOR_STREAM, FLOOR_GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


async def hear_redis(redis: "Redis", notes: TimestampRecorder) -> None:
    """Note each entry of the floor's stream, for ever."""
    await make_floor_stream(redis)
    while True:
        entries = await read_stream(redis, FLOOR_STREAM, FLOOR_GROUP, FLOOR_GROUP, ">", READ_COUNT)
        at = now()
        for _, fields in entries:
            notes.note(GOT + FLOOR_REDIS, (fields or {})[b"key"].decode(), at)
        if entries:
            names = [entry for entry, _ in entries]
            await transact(redis, ("XACK", FLOOR_STREAM, FLOOR_GROUP, *names), ("XDEL", FLOOR_STREAM, *names))


def rabbit_note(link: AmqpConnection, notes: TimestampRecorder, delivery: Delivery) -> None:
    """Note one message of the floor's queue."""
    at = now()
    link.ack(delivery.tag)
    found = KEY_FIELD.search(delivery.body)
    if found is not None:
        notes.note(GOT + FLOOR_RABBIT, found[1].decode(), at)


async def work(stop: asyncio.Event) -> None:
    """Hear everything until stopped."""
    site = Site.load()
    notes = TimestampRecorder()
    partition = os.environ[PARTITION]

    def heard_status(topic: str) -> Any:  # noqa: ANN401 - salobj's own classes have no types
        def heard(sample: Any) -> None:  # noqa: ANN401 - likewise
            at = now()
            notes.note(GOT + topic, file_key(sample.obsid, sample.raft, sample.sensor), at)

        return heard

    def heard_floor(sample: Any) -> None:  # noqa: ANN401 - likewise
        notes.note(GOT + FLOOR_SAL, sample.imageName, now())

    link = await AmqpConnection.open(site.settings, site.credentials)
    redis = make_client(floor_settings(site.settings), blocking=True)
    try:
        await link.declare(FLOOR_QUEUE)
        link.consume(FLOOR_QUEUE, lambda delivery: rabbit_note(link, notes, delivery))
        async with listener() as bus:
            await bus.listen(CSC, partition, {topic: heard_status(topic) for topic in (RETRIEVED, INGESTED)})
            await bus.listen(CAMERA, floor_partition(partition), {END_READOUT: heard_floor})
            reading = asyncio.create_task(hear_redis(redis, notes))
            say("ready")
            await serve({TAKE: notes.hand_over}, stop)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    finally:
        await redis.aclose()
        await link.close()


if __name__ == "__main__":
    sys.exit(run_async_peer("far", "WARNING", work))
