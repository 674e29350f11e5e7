"""Whatever comes, no exception leaves a handler, and no good message among bad ones is lost.

``make fuzz`` gives each of them 100,000 inputs; a test run fewer, with the same seed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ccarchiver_bridge.amqp.connection import Delivery
from ccarchiver_bridge.bridge import Bridge
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.worker_messages import FileStatus
from ccarchiver_core.keys import DEAD_LETTERS, Worker
from ccarchiver_health.candidate_queue import CandidateQueue
from tests.core.redis_helpers import holding, looking_into, mail_in, site
from tests.fuzz.mutations import bodies

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

INPUTS = int(os.environ.get("CCARCHIVER_FUZZ", "2000"))  # read before the fixtures hide it

SEED = 20261122

BATCH = 50

MARK = "the good one"


def good(number: int) -> bytes:
    return (
        f'{{"MSG_TYPE": "IMAGE_IN_OODS", "CAMERA": "COMCAM", "ARCHIVER": "{MARK}", "OBSID": "i", '
        f'"FILENAME": "{number}.fits", "STATUS_CODE": "0", "DESCRIPTION": "ok"}}'
    ).encode()


async def test_good_messages_among_bad_ones_all_reach_sal_in_order(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, MAX_DEAD_LETTERS=100)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        router = Bridge(context)._router
        taken = list[int]()
        batch = list[Delivery]()
        sent = 0
        for tag, body in enumerate(bodies(INPUTS, SEED)):
            batch.append(Delivery("any", body, tag))
            if len(batch) == BATCH or tag == INPUTS - 1:
                batch.insert(len(batch) // 2, Delivery("any", good(sent), INPUTS + sent))
                await router.handle_batch(batch, done=lambda delivery: taken.append(delivery.tag))
                arrived = [
                    message.filename
                    for message in await mail_in(redis, Worker.SAL)
                    if isinstance(message, FileStatus) and message.archiver == MARK
                ]
                assert arrived == [f"{sent}.fits"]
                await redis.delete(Worker.SAL.mailbox)
                sent += 1
                batch = []

        assert len(taken) == INPUTS + sent
        assert await redis.xlen(DEAD_LETTERS) == settings.max_dead_letters


async def test_an_entry_of_the_forwarder_list_is_one_or_is_rejected(fresh_redis: PrivateRedis) -> None:
    entry = ForwarderEntry(hostname="f99", ip_address="127.0.0.1", consume_queue="f99_consume").model_dump_json()
    async with holding(Worker.HEALTH, site(fresh_redis.port)) as context:
        roster = CandidateQueue(context)
        for number, body in enumerate(bodies(INPUTS, SEED)):
            at = number % len(entry)
            for raw in (body, entry[:at].encode() + body[:2] + entry[at + 1 :].encode()):
                try:
                    assert isinstance(roster._read(raw), ForwarderEntry)
                except RejectedError as error:
                    assert "Forwarder" in str(error)  # noqa: PT017  most are rejected, some are not
