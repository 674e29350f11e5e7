"""Fuzz tests: no input raises an unexpected exception, and no good message among bad ones is lost.

``make fuzz`` runs each test with 100,000 inputs, a normal test run with fewer and the same seed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ccarchiver_bridge.amqp.connection import Delivery
from ccarchiver_bridge.bridge import Bridge
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.file_status import FileStatus
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.keys import DEAD_LETTERS, Worker
from ccarchiver_health.forwarder_list import ForwarderList
from tests.core.redis_helpers import holding, looking_into, messages_in, site
from tests.fuzz.mutations import bodies

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

# Read before a fixture removes the variable.
INPUTS = int(os.environ.get("CCARCHIVER_FUZZ", "2000"))

SEED = 20261122

BATCH = 50

GOOD_ARCHIVER = "the good one"


def good(number: int) -> bytes:
    return (
        '{"MSG_TYPE": "IMAGE_IN_OODS", "CAMERA": "COMCAM", '
        f'"ARCHIVER": "{GOOD_ARCHIVER}", "OBSID": "i", '
        f'"FILENAME": "{number}.fits", "STATUS_CODE": "0", "DESCRIPTION": "ok"}}'
    ).encode()


async def test_good_messages_among_bad_ones_all_reach_sal_in_order(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, MAX_DEAD_LETTERS=100)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        router = Bridge(context)._router
        acked = list[int]()
        batch = list[Delivery]()
        sent = 0
        for tag, body in enumerate(bodies(INPUTS, SEED)):
            batch.append(Delivery("any", body, tag))
            if len(batch) == BATCH or tag == INPUTS - 1:
                batch.insert(len(batch) // 2, Delivery("any", good(sent), INPUTS + sent))
                await router.handle_batch(batch, done=lambda delivery: acked.append(delivery.tag))
                arrived = [
                    message.filename
                    for message in await messages_in(redis, Worker.SAL)
                    if isinstance(message, FileStatus) and message.archiver == GOOD_ARCHIVER
                ]
                assert arrived == [f"{sent}.fits"]
                await redis.delete(Worker.SAL.mailbox)
                sent += 1
                batch = []

        assert len(acked) == INPUTS + sent
        assert await redis.xlen(DEAD_LETTERS) == settings.max_dead_letters


async def test_forwarder_list_entry_is_decoded_or_rejected(fresh_redis: PrivateRedis) -> None:
    entry = ForwarderEntry(
        hostname="f99", ip_address="127.0.0.1", consume_queue="f99_consume"
    ).model_dump_json()
    async with holding(Worker.HEALTH, site(fresh_redis.port)) as context:
        forwarders = ForwarderList(context)
        for number, body in enumerate(bodies(INPUTS, SEED)):
            at = number % len(entry)
            for raw in (body, entry[:at].encode() + body[:2] + entry[at + 1 :].encode()):
                try:
                    assert isinstance(forwarders.parse(raw), ForwarderEntry)
                except RejectedError as error:
                    assert "Forwarder" in str(error)  # noqa: PT017  most are rejected, some are not
