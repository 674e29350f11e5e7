"""The receiving end of each hop: a light process that records when a message arrives.

For the floor it receives the driver's own events, messages and stream entries; for the archiver it
receives the CSC's events. It receives both in the same way, so its own cost is in both.
"""

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from benchmarks.event_times import GOT, file_key, now
from benchmarks.sal import floor_partition, listener
from benchmarks.timestamp_recorder import COLLECT, TimestampRecorder, serve
from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
from ccarchiver_core.config.dds_environment import PARTITION
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.replies import read_stream, transact
from ccarchiver_sim.peers.common.async_run import run_async_peer
from ccarchiver_sim.peers.common.runloop import print_event
from ccarchiver_sim.peers.common.site import Site
from ccarchiver_sim.testbed.sal_observer import CAMERA, CSC, END_READOUT, INGESTED, RETRIEVED

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

FLOOR_SAL, FLOOR_RABBIT, FLOOR_REDIS = "floor sal", "floor rabbit", "floor redis"
"""Names of the hops when each is measured alone."""

FLOOR_QUEUE = "bench_floor"
FLOOR_STREAM = "bench:floor"
FLOOR_GROUP = "sink"
FLOOR_DATABASE = 13
"""Separate from the archiver's database (14), so that its housekeeping finds no foreign keys."""
READ_COUNT = 100
"""Entries in one read, as for the archiver's mailboxes."""
KEY_FIELD = re.compile(rb"^IMAGE_ID: (\S+)$", re.MULTILINE)
"""Field that identifies a floor message."""


def floor_settings(settings: "Settings") -> "Settings":
    """Return the archiver's settings with the floor's own Redis database."""
    return settings.model_copy(update={"archiver_redis_db": FLOOR_DATABASE})


async def make_floor_stream(redis: "Redis") -> None:
    """Create the floor's stream and its group if they are missing."""
    try:
        await redis.xgroup_create(FLOOR_STREAM, FLOOR_GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


async def record_redis(redis: "Redis", recorder: TimestampRecorder) -> None:
    """Record each entry of the floor's stream, until cancelled."""
    await make_floor_stream(redis)
    while True:
        entries = await read_stream(redis, FLOOR_STREAM, FLOOR_GROUP, FLOOR_GROUP, ">", READ_COUNT)
        received_at = now()
        for _, fields in entries:
            recorder.record(GOT + FLOOR_REDIS, (fields or {})[b"key"].decode(), received_at)
        if entries:
            names = [entry for entry, _ in entries]
            await transact(
                redis, ("XACK", FLOOR_STREAM, FLOOR_GROUP, *names), ("XDEL", FLOOR_STREAM, *names)
            )


def record_rabbit(link: AmqpConnection, recorder: TimestampRecorder, delivery: Delivery) -> None:
    """Record one message of the floor's queue."""
    received_at = now()
    link.ack(delivery.tag)
    found = KEY_FIELD.search(delivery.body)
    if found is not None:
        recorder.record(GOT + FLOOR_RABBIT, found[1].decode(), received_at)


async def work(stop: asyncio.Event) -> None:
    """Record all events, messages and stream entries until stopped."""
    site = Site.load()
    recorder = TimestampRecorder()
    partition = os.environ[PARTITION]

    def status_recorder(topic: str) -> Any:  # noqa: ANN401 - salobj's own classes have no types
        def record(sample: Any) -> None:  # noqa: ANN401 - likewise
            received_at = now()
            recorder.record(
                GOT + topic, file_key(sample.obsid, sample.raft, sample.sensor), received_at
            )

        return record

    def record_floor(sample: Any) -> None:  # noqa: ANN401 - likewise
        recorder.record(GOT + FLOOR_SAL, sample.imageName, now())

    link = await AmqpConnection.open(site.settings, site.credentials)
    redis = make_client(floor_settings(site.settings), blocking=True)
    try:
        await link.declare(FLOOR_QUEUE)
        link.consume(FLOOR_QUEUE, lambda delivery: record_rabbit(link, recorder, delivery))
        async with listener() as bus:
            await bus.listen(
                CSC, partition, {topic: status_recorder(topic) for topic in (RETRIEVED, INGESTED)}
            )
            await bus.listen(CAMERA, floor_partition(partition), {END_READOUT: record_floor})
            reading = asyncio.create_task(record_redis(redis, recorder))
            print_event("ready")
            await serve({COLLECT: recorder.hand_over}, stop)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    finally:
        await redis.aclose()
        await link.close()


if __name__ == "__main__":
    sys.exit(run_async_peer("sink", "WARNING", work))
