"""Pairing a Forwarder, keeping it, losing it, finding another."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import (
    AssociationOutcome,
    AssociationResult,
    PurgeQueues,
    ReplaceForwarder,
    ReplaceReason,
    SessionChanged,
    SessionFailed,
    SessionStarted,
    SessionStopped,
)
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import association_attempts
from ccarchiver_health import forwarder_search
from ccarchiver_sim.pace import scaled
from tests.core.redis_helpers import counter, eventually, mail_in, post, read_dead_letters
from tests.health.harness import SESSION, HealthHarness, entry, health_at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.domain.session import Session
    from ccarchiver_sim.testbed.brokers import PrivateRedis

KEY = "ccarchiver_association"


@pytest_asyncio.fixture
async def harness(fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HealthHarness]:
    monkeypatch.setattr(forwarder_search, "PRESENCE_WAIT", 0.5)
    async with health_at_work(fresh_redis) as ready:
        yield ready


async def test_the_first_listed_forwarder_is_paired_and_everybody_is_told(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1", "f2")
    await harness.live("f1")
    await harness.begin()

    session = await harness.paired_with("f1")

    assert harness.asked == ["f1"]
    assert session.forwarder is not None
    assert session.forwarder.presence_key == "f1_association"
    assert await harness.told(Worker.SAL, SessionStarted) == [SessionStarted(session_id=SESSION)]
    assert await harness.told(Worker.BRIDGE, SessionChanged) == [SessionChanged(session_id=SESSION)]
    assert await harness.redis.get(KEY) == b"f1"
    assert 0 < await harness.redis.ttl(KEY) <= 10
    assert await harness.redis.llen(keys.FORWARDER_LIST) == 1, "f2 is still free"
    assert not await harness.redis.exists(keys.PAIRING_CANDIDATE)


async def test_a_forwarder_that_lists_itself_late_is_found(harness: HealthHarness) -> None:
    await harness.begin()
    await asyncio.sleep(0.5)
    await harness.live("f1")
    await harness.list_forwarders("f1")

    await harness.paired_with("f1")


async def test_stale_double_and_malformed_entries_are_passed_over(harness: HealthHarness) -> None:
    malformed = [
        b"not JSON",
        b'"f9"',
        b'{"hostname": "f9"}',
        b"\xff\xfe",
        b'{"hostname": "", "ip_address": "", "consume_queue": ""}',
        b'{"hostname": "f9; reboot", "ip_address": "127.0.0.1", "consume_queue": "f9_consume"}',
        b'{"hostname": "f9", "ip_address": "127.0.0.1", "consume_queue": "telemetry_queue"}',
        b'{"hostname": "f9", "ip_address": "127.0.0.1", "consume_queue": "%s"}' % (b"q" * 256),
        b"[" * 5000,
    ]
    for raw in malformed:
        await harness.redis.lpush(keys.FORWARDER_LIST, raw)
    await harness.list_forwarders("stale", "mute", "mute", "keyless", "f1", "f1")
    await harness.live("f1")
    await harness.live("mute")
    await harness.begin()

    await harness.paired_with("f1", stale=AssociationOutcome.NO_CONSUMER, mute=AssociationOutcome.SILENT)

    assert harness.asked == ["stale", "mute", "keyless", "f1"]
    assert await counter(harness.redis, "association_failures") == 3
    assert [letter["raw"] for letter in await read_dead_letters(harness.redis)] == malformed
    assert {letter["origin"] for letter in await read_dead_letters(harness.redis)} == {b"forwarder_list"}


async def test_each_question_has_an_epoch_of_its_own_and_an_answer_to_an_older_one_does_not_count(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("f1", "f2")
    await harness.live("f1")
    await harness.live("f2")
    await harness.begin()

    async def epoch() -> int:
        return (await harness.session()).epoch

    first = await eventually(epoch, "the first question")
    await post(
        harness.redis,
        Worker.HEALTH,
        *(
            AssociationResult(
                session_id=session, epoch=number, result=AssociationOutcome.ASSOCIATED, presence_key="f1_association"
            )
            for session, number in ((SESSION, first - 1), (SESSION, first + 1), ("another", first))
        ),
    )
    session = await harness.paired_with("f2", f1=AssociationOutcome.SILENT)

    assert session.epoch == first + 1


async def test_no_forwarder_in_the_list_is_a_fault_that_says_where_it_looked(harness: HealthHarness) -> None:
    await harness.begin()

    [fault] = await harness.told(Worker.SAL, SessionFailed)

    assert (fault.session_id, fault.code) == (SESSION, 5701)
    assert "forwarder_list" in fault.report


async def test_only_forwarders_that_do_not_answer_are_a_fault_of_their_own(harness: HealthHarness) -> None:
    await harness.list_forwarders("mute")
    await harness.begin()

    [fault] = await harness.told(Worker.SAL, SessionFailed, mute=AssociationOutcome.SILENT)

    assert fault.code == 5752
    assert "mute" in fault.report


async def test_the_end_of_the_session_is_confirmed_and_the_key_stays_gone(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.live("f1")
    await harness.begin()
    await harness.paired_with("f1")
    await harness.end()

    down = await harness.told(Worker.SAL, SessionStopped)

    assert down == [SessionStopped(session_id=SESSION, worker=Worker.HEALTH)]
    await asyncio.sleep(0.3)
    assert not await harness.redis.exists(KEY)


async def test_a_session_that_ends_during_the_search_ends_the_search(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.begin()

    async def asked() -> int:
        return (await harness.session()).epoch

    await eventually(asked, "the first question")
    await harness.end()
    await harness.told(Worker.SAL, SessionStopped)

    assert not await harness.redis.exists(KEY)
    assert not (await harness.session()).is_paired


async def test_the_association_key_is_written_again_and_again(fresh_redis: PrivateRedis) -> None:
    expiry_s = math.ceil(scaled(1))
    beacon = {"SECONDS_TO_EXPIRE": expiry_s, "SECONDS_TO_UPDATE": 0.2}
    async with health_at_work(fresh_redis, CSC={"BEACON": beacon}) as harness:
        await harness.list_forwarders("f1")
        await harness.live("f1")
        await harness.begin()
        await harness.paired_with("f1")
        until = time.monotonic() + 1.5 * expiry_s
        while time.monotonic() < until:
            await asyncio.sleep(0.1)
            assert await harness.redis.get(KEY) == b"f1"


async def lost(harness: HealthHarness, epoch: int) -> Session:
    async def later() -> Session | None:
        now = await harness.session()
        return now if now.epoch > epoch else None

    return await eventually(later, "a later epoch")


@pytest.mark.parametrize("how", ["key", "suspect"])
async def test_a_lost_forwarder_is_replaced_by_the_next_one_under_a_later_epoch(
    harness: HealthHarness, how: str
) -> None:
    await harness.list_forwarders("f1", "f2")
    await harness.live("f1")
    await harness.live("f2")
    await harness.begin()
    before = await harness.paired_with("f1")
    if how == "key":
        await harness.redis.delete("f1_association")
    else:
        await post(harness.redis, Worker.HEALTH, suspicion(before.epoch))

    after = await harness.paired_with("f2")

    assert after.epoch > before.epoch
    assert after.loss is None
    assert await harness.redis.get(KEY) == b"f2"
    assert await harness.told(Worker.BRIDGE, PurgeQueues) == [PurgeQueues(session_id=SESSION)]
    assert await harness.redis.smembers(keys.QUEUES_TO_PURGE) == {b"f1_consume"}
    bridge = [type(message).__name__ for message in await mail_in(harness.redis, Worker.BRIDGE)]
    assert bridge.index("PurgeQueues") < len(bridge) - 1 - bridge[::-1].index("AssociateForwarder"), (
        "purged before f2 is asked"
    )


async def test_a_released_forwarder_is_replaced_even_by_one_that_is_only_known(harness: HealthHarness) -> None:
    await harness.redis.hset(keys.KNOWN_FORWARDERS, "f1_consume", entry("f1").model_dump_json())
    await harness.redis.hset(keys.KNOWN_FORWARDERS, "f2_consume", entry("f2").model_dump_json())
    await harness.live("f1")
    await harness.live("f2")
    await harness.begin()
    before = await harness.paired_with("f1")
    released = ReplaceForwarder(
        session_id=SESSION, epoch=before.epoch, reason=ReplaceReason.RELEASED, code=5755, report="released"
    )
    await post(harness.redis, Worker.HEALTH, released)

    await harness.paired_with("f2")

    assert harness.asked == ["f1", "f2"]


async def test_what_came_of_asking_is_remembered(harness: HealthHarness) -> None:
    await harness.list_forwarders("gone", "f1")
    await harness.live("f1")
    await harness.begin()
    await harness.paired_with("f1", gone=AssociationOutcome.NO_CONSUMER)

    came = await association_attempts.read(harness.redis)

    assert {queue: one.accepted for queue, one in came.items()} == {"gone_consume": False, "f1_consume": True}
    assert came["gone_consume"].detail


def suspicion(epoch: int, session_id: str = SESSION) -> ReplaceForwarder:
    return ReplaceForwarder(
        session_id=session_id, epoch=epoch, reason=ReplaceReason.OWES_ACK, code=5753, report="owes END_READOUT's ack"
    )


async def test_a_suspicion_of_an_older_epoch_or_session_is_ignored(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.live("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await post(harness.redis, Worker.HEALTH, suspicion(before.epoch - 1), suspicion(before.epoch, "another"))

    async def read() -> bool:
        return await mail_in(harness.redis, Worker.HEALTH) == []

    await eventually(read, "the letters to be read")
    assert await harness.session() == before


async def test_a_forwarder_that_does_not_answer_is_not_taken_again_and_its_code_is_reported(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("f1")
    await harness.live("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.list_forwarders("f1")
    await post(harness.redis, Worker.HEALTH, suspicion(before.epoch))

    [fault] = await harness.told(Worker.SAL, SessionFailed)

    assert fault.code == 5753
    assert "owes END_READOUT's ack" in fault.report
    assert harness.asked == ["f1"]


async def test_no_other_forwarder_in_time_is_a_fault(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.live("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.redis.delete("f1_association")
    await lost(harness, before.epoch)

    [fault] = await harness.told(Worker.SAL, SessionFailed, f1=AssociationOutcome.NO_CONSUMER)

    assert fault.code == 5755
    assert "f1" in fault.report


async def test_a_lost_forwarder_that_comes_back_in_time_is_taken_again(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.live("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.redis.delete("f1_association")
    await lost(harness, before.epoch)
    await harness.live("f1")

    after = await harness.paired_with("f1")

    assert after.epoch > before.epoch


async def test_a_key_that_is_missing_for_a_moment_is_no_loss(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.live("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.redis.delete("f1_association")
    await asyncio.sleep(0.4)
    await harness.live("f1")
    await asyncio.sleep(0.8)

    assert await harness.session() == before


async def test_a_candidate_that_was_being_tried_when_health_died_is_tried_again(fresh_redis: PrivateRedis) -> None:
    async with health_at_work(fresh_redis) as harness:
        await harness.list_forwarders("f1")
        await harness.live("f1")
        await harness.begin()

        async def asked() -> int:
            return (await harness.session()).epoch

        await eventually(asked, "the first question")
        assert await harness.redis.lrange(keys.PAIRING_CANDIDATE, 0, -1) == [entry("f1").model_dump_json().encode()]
    async with health_at_work(fresh_redis) as harness:
        await harness.paired_with("f1")


async def test_a_forwarder_restarted_in_place_shows_by_listing_itself_and_is_paired_anew(
    harness: HealthHarness,
) -> None:
    """Its key and its queue's consumer are there, but the new process knows nothing of the images in flight."""
    await harness.list_forwarders("f1", "f1")
    await harness.live("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    assert await harness.redis.llen(keys.FORWARDER_LIST) == 0, (
        "its double entry is gone, or it would look like a restart"
    )
    await harness.list_forwarders("f1")
    await lost(harness, before.epoch)

    after = await harness.paired_with("f1")

    assert after.epoch > before.epoch
    await asyncio.sleep(0.8)
    assert (await harness.session()).epoch == after.epoch


async def test_an_entry_that_names_a_queue_of_somebody_else_is_refused(harness: HealthHarness) -> None:
    bad = entry("f1").model_copy(update={"consume_queue": harness.settings.archive_ctrl_consume_queue})
    await harness.redis.lpush(keys.FORWARDER_LIST, bad.model_dump_json())
    await harness.list_forwarders("f2")
    await harness.live("f2")
    await harness.begin()

    await harness.paired_with("f2")

    assert harness.asked == ["f2"]
    [dead] = await read_dead_letters(harness.redis)
    assert b"archive_ctrl_consume" in dead["reason"]
