"""The floor: each hop alone, between processes, with the archiver's clients and durability."""

import asyncio
from collections.abc import Callable
from typing import Final

from benchmarks.event_times import GOT, PUT
from benchmarks.sink import FLOOR_QUEUE, FLOOR_RABBIT, FLOOR_REDIS, FLOOR_SAL, FLOOR_STREAM
from benchmarks.testbed import END, BenchmarkTestbed
from ccarchiver_bridge.messages.outgoing import EndReadout
from ccarchiver_core.domain.exposure import EndReadout as EndReadoutEvent
from ccarchiver_core.domain.worker_messages import ExposureEventMessage
from ccarchiver_core.redis.replies import transact
from ccarchiver_sim.peers.camera.exposure import Exposure
from ccarchiver_sim.peers.common.sal import tai_now

SAL, RABBIT, REDIS, REDIS_LAX = "SAL", "RabbitMQ", "Redis", "Redis everysec"
"""The hops; Redis has one for each durability."""
STRICT: Final = "always"
"""The `appendfsync` that the archiver recommends."""
LAX: Final = "everysec"
"""A crash of the host can lose a second of writes. The performance targets are for this value."""
REDIS_HOPS: Final = {STRICT: REDIS, LAX: REDIS_LAX}
"""The hop for each `appendfsync`."""
SPACING_S = 0.01
"""Pause between two messages: each is acknowledged and removed before the next one is sent."""

WARM_UP = 5
"""Messages of each hop at the beginning that are not counted."""

BATCH = 50
"""Messages in one write, as the bridge enqueues them in a burst."""
NS_PER_S = 1e9

Measured = Callable[[], None]


def worker_message_text(image: str) -> str:
    """Return a worker message as the CSC enqueues it for the bridge."""
    event = EndReadoutEvent(image_name=image, image_index=0, images_in_sequence=1)
    return ExposureEventMessage(obsid=image, job=1, event=event, received_at=0.0).model_dump_json()


def message_body(image: str) -> bytes:
    """Return the body of an instruction as the bridge publishes it to a Forwarder."""
    return EndReadout(
        MSG_TYPE="CC_FWDR_END_READOUT",
        ACK_ID=f"CCArchiver_2026-11-22T00:00:00Z_{image}",
        REPLY_QUEUE=FLOOR_QUEUE,
        JOB_NUM=1,
        SESSION_ID="CCArchiver_2026-11-22T00:00:00Z",
        IMAGE_ID=image,
        IMAGES_IN_SEQUENCE=1,
        IMAGE_INDEX=0,
    ).body()


class Floor:
    """Measurement of the hops.

    Parameters
    ----------
    testbed
        The system under test; it is idle during the measurement.
    done
        Called after each measurement, to show progress.
    """

    def __init__(self, testbed: BenchmarkTestbed, done: Measured) -> None:
        self._testbed = testbed
        self._done = done
        self._count = 0

    async def measure(self, count: int) -> dict[str, list[float]]:
        """Return the milliseconds of `count` messages through each hop, by hop.

        Raises
        ------
        RuntimeError
            If a message did not arrive. Without the floor the other figures have no meaning.
        """
        await self._send_through_hops(self._new_keys(WARM_UP))
        keys = self._new_keys(count)
        await self._send_through_hops(keys)
        found = {
            SAL: await self._durations(FLOOR_SAL, keys),
            REDIS: await self._durations(FLOOR_REDIS, keys),
            RABBIT: await self._durations(FLOOR_RABBIT, keys),
        }
        lax = self._new_keys(count)
        await self._testbed.redis.config_set("appendfsync", LAX)
        try:
            for key in lax:
                await self._redis(key)
                await asyncio.sleep(SPACING_S)
                self._done()
        finally:
            await self._testbed.redis.config_set("appendfsync", STRICT)
        return {**found, REDIS_LAX: await self._durations(FLOOR_REDIS, lax)}

    async def measure_at_once(self, count: int) -> dict[str, float]:
        """Send `count` messages at once through each hop and return the messages a second, by hop.

        The time is measured from the first send to the last arrival.

        Raises
        ------
        RuntimeError
            If a message did not arrive.
        """
        link, redis = self._testbed.link, self._testbed.floor_redis
        keys = self._new_keys(count)
        for key in keys:
            await self._sal(key)
        found = {SAL: await self._rate(FLOOR_SAL, keys)}
        keys = self._new_keys(count)
        for batch in (keys[at : at + BATCH] for at in range(0, count, BATCH)):
            for key in batch:
                self._testbed.event_times.record(PUT + FLOOR_REDIS, key)
            await transact(
                redis,
                *(
                    ("XADD", FLOOR_STREAM, "*", "message", worker_message_text(key), "key", key)
                    for key in batch
                ),
            )
        found[REDIS] = await self._rate(FLOOR_REDIS, keys)
        keys = self._new_keys(count)
        for key in keys:
            self._testbed.event_times.record(PUT + FLOOR_RABBIT, key)
        await asyncio.gather(
            *(link.publish(FLOOR_QUEUE, message_body(key), message_id=key) for key in keys)
        )
        found[RABBIT] = await self._rate(FLOOR_RABBIT, keys)
        return found

    async def _rate(self, hop: str, keys: list[str]) -> float:
        await self._durations(hop, keys)
        event_times = self._testbed.event_times
        began, ended = (
            event_times.of(PUT + hop)[keys[0]],
            max(event_times.of(GOT + hop)[key] for key in keys),
        )
        return len(keys) / ((ended - began) / NS_PER_S)

    async def _send_through_hops(self, keys: list[str]) -> None:
        for key in keys:
            await self._sal(key)
            await asyncio.sleep(SPACING_S)
            await self._redis(key)
            await asyncio.sleep(SPACING_S)
            self._testbed.event_times.record(PUT + FLOOR_RABBIT, key)
            await self._testbed.link.publish(FLOOR_QUEUE, message_body(key), message_id=key)
            await asyncio.sleep(SPACING_S)
            self._done()

    def _new_keys(self, count: int) -> list[str]:
        first, self._count = self._count, self._count + count
        return [f"floor_{number:06d}" for number in range(first, first + count)]

    async def _sal(self, key: str) -> None:
        tai = tai_now()
        fields = Exposure(key).end_readout(tai, tai)
        self._testbed.event_times.record(PUT + FLOOR_SAL, key)
        await self._testbed.floor_camera.put(END, **fields)

    async def _redis(self, key: str) -> None:
        entry = {"message": worker_message_text(key), "key": key}
        self._testbed.event_times.record(PUT + FLOOR_REDIS, key)
        await self._testbed.floor_redis.xadd(FLOOR_STREAM, entry)  # type: ignore[arg-type]  # its dict is invariant

    async def _durations(self, hop: str, keys: list[str]) -> list[float]:
        missing = await self._testbed.collect(GOT + hop, keys)
        if missing:
            raise RuntimeError(
                f"{len(missing)} of {len(keys)} did not pass the {hop}; "
                f"logs: {self._testbed.sink.where()}"
            )
        return self._testbed.event_times.durations_ms(PUT + hop, GOT + hop, keys)
