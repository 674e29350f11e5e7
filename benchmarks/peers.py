"""A scripted Forwarder, Controller and OODS in one light process.

They answer at once and record when each message arrives. They move no files, because the time for
that is not the archiver's. The time between the arrival of a message and the publication of the
answer is recorded too, so that it can be subtracted.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Coroutine
from typing import cast

from benchmarks.event_times import GOT, OWN, PUT, file_key, now
from benchmarks.timestamp_recorder import COLLECT, TimestampRecorder, serve
from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.replies import transact
from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.common.async_run import run_async_peer
from ccarchiver_sim.peers.common.runloop import print_event
from ccarchiver_sim.peers.common.site import Site
from ccarchiver_sim.peers.controller.messages import health_ack, item_ack
from ccarchiver_sim.peers.forwarder import messages as forwarder_messages
from ccarchiver_sim.peers.forwarder.options import PRESENCE_KEY, Identity
from ccarchiver_sim.peers.forwarder.presence import (
    FORWARDER_LIST,
    LIVES_FOR_S,
    PRESENCE_VALUE,
    RENEWED_EVERY_S,
)

NAME = "bench"
PACE, BURST = "pace", "burst"
"""Commands: seconds between two statuses of an image (0: all at once); a burst of statuses."""
TARGET_DIR = "/data/staging/ccforwarder/2026-11-22/"
RETRIEVAL, INGEST = "IMAGE_RETRIEVAL_FOR_ARCHIVING", "IMAGE_IN_OODS"
BURST_IMAGE = "burst"
"""Prefix of the images of a burst: no camera has exposed them, so they affect no other count."""
SCAN = "SCAN"
SUCCESS = 0


class Peers:
    """The three peers.

    Parameters
    ----------
    site
        Queues, credentials and CCDs.
    link
        The connection that they share.
    recorder
        Recorder of the times.
    """

    def __init__(self, site: Site, link: AmqpConnection, recorder: TimestampRecorder) -> None:
        self._settings = site.settings
        self._link = link
        self._recorder = recorder
        self._identity = Identity(NAME, NAME, "127.0.0.1", f"{NAME}_consume", PRESENCE_KEY)
        self._pace = 0.0
        self._bursts = 0
        self._received: dict[str, set[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Consume the queues of the Forwarder and the Controller, and register the Forwarder."""
        settings = self._settings
        served = {
            self._identity.consume_queue: self._for_forwarder,
            settings.archive_ctrl_consume_queue: self._for_controller,
        }
        for queue, handler in served.items():
            await self._link.declare(queue)
            self._link.consume(queue, handler)
        redis = make_client(settings)
        await redis.set(PRESENCE_KEY, PRESENCE_VALUE, ex=LIVES_FOR_S)
        entry = json.dumps(forwarder_messages.list_entry(self._identity))
        await transact(redis, ("LPUSH", FORWARDER_LIST, entry))

        async def renew_presence() -> None:
            while True:
                await asyncio.sleep(RENEWED_EVERY_S)
                await redis.set(PRESENCE_KEY, PRESENCE_VALUE, ex=LIVES_FOR_S)

        self._spawn(renew_presence())

    def close(self) -> None:
        """Cancel all tasks."""
        for task in list(self._tasks):
            task.cancel()

    # ---- commands

    async def set_pace(self, seconds: object) -> None:
        """Set the pause in seconds before each status of an image; 0: all of a kind at once."""
        self._pace = float(cast("float", seconds))

    async def burst(self, count: object) -> None:
        """Publish `count` ingest statuses without a pause, of images that no camera has exposed."""
        self._bursts += 1
        ccds = self._settings.ccds
        for number in range(int(cast("int", count))):
            image = f"{BURST_IMAGE}_{self._bursts}_{number // len(ccds):06d}"
            self._spawn(self._status(INGEST, image, *ccds[number % len(ccds)]))

    # ---- received messages

    def _for_controller(self, delivery: Delivery) -> None:
        received_at = now()
        self._link.ack(delivery.tag)
        message = wire.decode(delivery.body)
        settings = self._settings
        if message["MSG_TYPE"] == settings.new_archive_item:
            image = wire.text(message, "IMAGE_ID")
            kind = settings.new_archive_item
            self._recorder.record(GOT + kind, image, received_at)
            answer = item_ack(message, TARGET_DIR, settings.archive_controller_name, positive=True)
            self._publish(wire.text(message, "REPLY_QUEUE"), answer, OWN + kind, image)
        elif message["MSG_TYPE"] == "ARCHIVE_HEALTH_CHECK":
            answer = health_ack(message, settings.archive_controller_name, positive=True)
            self._publish(settings.forwarder_publish_queue, answer)

    def _for_forwarder(self, delivery: Delivery) -> None:
        received_at = now()
        self._link.ack(delivery.tag)
        message = wire.decode(delivery.body)
        kind = wire.text(message, "MSG_TYPE")
        if kind == SCAN:
            return  # as a Forwarder that finds no image
        ack_id = wire.text(message, "ACK_ID")
        reply = wire.text(message, "REPLY_QUEUE")
        if kind == "ASSOCIATED":
            self._publish(reply, forwarder_messages.associated_ack(PRESENCE_KEY, ack_id))
            return
        image = wire.text(message, "IMAGE_ID")
        self._recorder.record(GOT + kind, image, received_at)
        self._publish(
            reply, forwarder_messages.acknowledgement(kind, image, self._identity.component, ack_id)
        )
        received = self._received.setdefault(image, set())
        received.add(kind)
        if {self._settings.fwdr_end_readout, self._settings.fwdr_header_ready} <= received:
            del self._received[image]
            self._spawn(self._deliver(image))

    # ---- sent messages

    async def _deliver(self, image: str) -> None:
        """Publish the retrieval status of each file of an image, then each ingest status."""
        for kind in (RETRIEVAL, INGEST):
            if self._pace:
                for raft, sensor in self._settings.ccds:
                    await asyncio.sleep(self._pace)
                    await self._status(kind, image, raft, sensor)
            else:
                await asyncio.gather(
                    *(
                        self._status(kind, image, raft, sensor)
                        for raft, sensor in self._settings.ccds
                    )
                )

    async def _status(self, kind: str, image: str, raft: str, sensor: str) -> None:
        settings = self._settings
        message: wire.Message = {
            "MSG_TYPE": kind,
            "OBSID": image,
            "RAFT": raft,
            "SENSOR": sensor,
            "FILENAME": f"{TARGET_DIR}{image}-R{raft}{sensor}.fits",
            "STATUS_CODE": SUCCESS,
            "DESCRIPTION": "file transferred" if kind == RETRIEVAL else "file ingested",
        }
        if kind == INGEST:
            message |= {"CAMERA": settings.camera_name, "ARCHIVER": settings.archiver_name}
        queue = settings.telemetry_queue if kind == RETRIEVAL else settings.queue_from_oods
        body = wire.encode_quoted(message) if kind == RETRIEVAL else wire.encode_block(message)
        key = file_key(image, raft, sensor)
        self._recorder.record(PUT + kind, key)
        await self._link.publish(queue, body, message_id=key)

    def _publish(self, queue: str, message: wire.Message, kind: str = "", key: str = "") -> None:
        body = wire.encode_block(message)

        async def publish() -> None:
            if kind:
                self._recorder.record(kind, key)
            await self._link.publish(
                queue, body, message_id=f"{message['MSG_TYPE']} {message['ACK_ID']}"
            )

        self._spawn(publish())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def work(stop: asyncio.Event) -> None:
    """Run the peers until stopped."""
    site = Site.load()
    recorder = TimestampRecorder()
    link = await AmqpConnection.open(site.settings, site.credentials)
    peers = Peers(site, link, recorder)
    try:
        await peers.open()
        print_event("ready")
        await serve({COLLECT: recorder.hand_over, PACE: peers.set_pace, BURST: peers.burst}, stop)
    finally:
        peers.close()
        with contextlib.suppress(asyncio.CancelledError):
            await link.close()


if __name__ == "__main__":
    sys.exit(run_async_peer("peers", "WARNING", work))
