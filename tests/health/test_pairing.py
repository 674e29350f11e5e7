"""Pairing a Forwarder, keeping it, losing it, finding another."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ccarchiver_core import asked, keys
from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import (
    ForwarderReply,
    ForwarderSuspect,
    PurgeQueues,
    Reply,
    SessionChanged,
    SessionDown,
    SessionFault,
    SessionUp,
    Suspicion,
)
from ccarchiver_health import search
from ccarchiver_sim.pace import scaled
from tests.core.place import counter, dead_letters, eventually, mail_in, post
from tests.health.desk import SESSION, Desk, entry, health_at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.session import Session
    from ccarchiver_sim.brokers import PrivateRedis

KEY = "ccarchiver_association"


@pytest_asyncio.fixture
async def desk(fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(search, "PRESENCE_WAIT", 0.5)
    async with health_at_work(fresh_redis) as ready:
        yield ready


async def test_the_first_listed_forwarder_is_paired_and_everybody_is_told(desk: Desk) -> None:
    await desk.list_forwarders("f1", "f2")
    await desk.live("f1")
    await desk.begin()

    session = await desk.paired_with("f1")

    assert desk.asked == ["f1"]
    assert session.forwarder is not None
    assert session.forwarder.presence_key == "f1_association"
    assert await desk.told(Worker.SAL, SessionUp) == [SessionUp(session_id=SESSION)]
    assert await desk.told(Worker.BRIDGE, SessionChanged) == [SessionChanged(session_id=SESSION)]
    assert await desk.redis.get(KEY) == b"f1"
    assert 0 < await desk.redis.ttl(KEY) <= 10
    assert await desk.redis.llen(keys.FORWARDER_LIST) == 1, "f2 is still free"
    assert not await desk.redis.exists(keys.CANDIDATE)


async def test_a_forwarder_that_lists_itself_late_is_found(desk: Desk) -> None:
    await desk.begin()
    await asyncio.sleep(0.5)
    await desk.live("f1")
    await desk.list_forwarders("f1")

    await desk.paired_with("f1")


async def test_stale_double_and_malformed_entries_are_passed_over(desk: Desk) -> None:
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
        await desk.redis.lpush(keys.FORWARDER_LIST, raw)
    await desk.list_forwarders("stale", "mute", "mute", "keyless", "f1", "f1")
    await desk.live("f1")
    await desk.live("mute")
    await desk.begin()

    await desk.paired_with("f1", stale=Reply.NO_CONSUMER, mute=Reply.SILENT)

    assert desk.asked == ["stale", "mute", "keyless", "f1"]
    assert await counter(desk.redis, "forwarders_passed_over") == 3
    assert [letter["raw"] for letter in await dead_letters(desk.redis)] == malformed
    assert {letter["origin"] for letter in await dead_letters(desk.redis)} == {b"forwarder_list"}


async def test_each_question_has_an_epoch_of_its_own_and_an_answer_to_an_older_one_does_not_count(desk: Desk) -> None:
    await desk.list_forwarders("f1", "f2")
    await desk.live("f1")
    await desk.live("f2")
    await desk.begin()

    async def epoch() -> int:
        return (await desk.session()).epoch

    first = await eventually(epoch, "the first question")
    await post(
        desk.redis,
        Worker.HEALTH,
        *(
            ForwarderReply(session_id=session, epoch=number, reply=Reply.ASSOCIATED, presence_key="f1_association")
            for session, number in ((SESSION, first - 1), (SESSION, first + 1), ("another", first))
        ),
    )
    session = await desk.paired_with("f2", f1=Reply.SILENT)

    assert session.epoch == first + 1


async def test_no_forwarder_in_the_list_is_a_fault_that_says_where_it_looked(desk: Desk) -> None:
    await desk.begin()

    [fault] = await desk.told(Worker.SAL, SessionFault)

    assert (fault.session_id, fault.code) == (SESSION, 5701)
    assert "forwarder_list" in fault.report


async def test_only_forwarders_that_do_not_answer_are_a_fault_of_their_own(desk: Desk) -> None:
    await desk.list_forwarders("mute")
    await desk.begin()

    [fault] = await desk.told(Worker.SAL, SessionFault, mute=Reply.SILENT)

    assert fault.code == 5752
    assert "mute" in fault.report


async def test_the_end_of_the_session_is_confirmed_and_the_key_stays_gone(desk: Desk) -> None:
    await desk.list_forwarders("f1")
    await desk.live("f1")
    await desk.begin()
    await desk.paired_with("f1")
    await desk.end()

    down = await desk.told(Worker.SAL, SessionDown)

    assert down == [SessionDown(session_id=SESSION, worker=Worker.HEALTH)]
    await asyncio.sleep(0.3)
    assert not await desk.redis.exists(KEY)


async def test_a_session_that_ends_during_the_search_ends_the_search(desk: Desk) -> None:
    await desk.list_forwarders("f1")
    await desk.begin()

    async def asked() -> int:
        return (await desk.session()).epoch

    await eventually(asked, "the first question")
    await desk.end()
    await desk.told(Worker.SAL, SessionDown)

    assert not await desk.redis.exists(KEY)
    assert not (await desk.session()).paired


async def test_the_association_key_is_written_again_and_again(fresh_redis: PrivateRedis) -> None:
    expiry_s = math.ceil(scaled(1))
    beacon = {"SECONDS_TO_EXPIRE": expiry_s, "SECONDS_TO_UPDATE": 0.2}
    async with health_at_work(fresh_redis, CSC={"BEACON": beacon}) as desk:
        await desk.list_forwarders("f1")
        await desk.live("f1")
        await desk.begin()
        await desk.paired_with("f1")
        until = time.monotonic() + 1.5 * expiry_s
        while time.monotonic() < until:
            await asyncio.sleep(0.1)
            assert await desk.redis.get(KEY) == b"f1"


async def lost(desk: Desk, epoch: int) -> Session:
    async def later() -> Session | None:
        now = await desk.session()
        return now if now.epoch > epoch else None

    return await eventually(later, "a later epoch")


@pytest.mark.parametrize("how", ["key", "suspect"])
async def test_a_lost_forwarder_is_replaced_by_the_next_one_under_a_later_epoch(desk: Desk, how: str) -> None:
    await desk.list_forwarders("f1", "f2")
    await desk.live("f1")
    await desk.live("f2")
    await desk.begin()
    before = await desk.paired_with("f1")
    if how == "key":
        await desk.redis.delete("f1_association")
    else:
        await post(desk.redis, Worker.HEALTH, suspicion(before.epoch))

    after = await desk.paired_with("f2")

    assert after.epoch > before.epoch
    assert after.loss is None
    assert await desk.redis.get(KEY) == b"f2"
    assert await desk.told(Worker.BRIDGE, PurgeQueues) == [PurgeQueues(session_id=SESSION)]
    assert await desk.redis.smembers(keys.TO_PURGE) == {b"f1_consume"}
    bridge = [type(mail).__name__ for mail in await mail_in(desk.redis, Worker.BRIDGE)]
    assert bridge.index("PurgeQueues") < len(bridge) - 1 - bridge[::-1].index("AskForwarder"), (
        "purged before f2 is asked"
    )


async def test_a_released_forwarder_is_replaced_even_by_one_that_is_only_known(desk: Desk) -> None:
    await desk.redis.hset(keys.KNOWN, "f1_consume", entry("f1").model_dump_json())
    await desk.redis.hset(keys.KNOWN, "f2_consume", entry("f2").model_dump_json())
    await desk.live("f1")
    await desk.live("f2")
    await desk.begin()
    before = await desk.paired_with("f1")
    released = ForwarderSuspect(
        session_id=SESSION, epoch=before.epoch, suspicion=Suspicion.RELEASED, code=5755, report="released"
    )
    await post(desk.redis, Worker.HEALTH, released)

    await desk.paired_with("f2")

    assert desk.asked == ["f1", "f2"]


async def test_what_came_of_asking_is_remembered(desk: Desk) -> None:
    await desk.list_forwarders("gone", "f1")
    await desk.live("f1")
    await desk.begin()
    await desk.paired_with("f1", gone=Reply.NO_CONSUMER)

    came = await asked.read(desk.redis)

    assert {queue: one.took_pairing for queue, one in came.items()} == {"gone_consume": False, "f1_consume": True}
    assert came["gone_consume"].detail


def suspicion(epoch: int, session_id: str = SESSION) -> ForwarderSuspect:
    return ForwarderSuspect(
        session_id=session_id, epoch=epoch, suspicion=Suspicion.OWES_ACK, code=5753, report="owes END_READOUT's ack"
    )


async def test_a_suspicion_of_an_older_epoch_or_session_is_ignored(desk: Desk) -> None:
    await desk.list_forwarders("f1")
    await desk.live("f1")
    await desk.begin()
    before = await desk.paired_with("f1")
    await post(desk.redis, Worker.HEALTH, suspicion(before.epoch - 1), suspicion(before.epoch, "another"))

    async def read() -> bool:
        return await mail_in(desk.redis, Worker.HEALTH) == []

    await eventually(read, "the letters to be read")
    assert await desk.session() == before


async def test_a_forwarder_that_does_not_answer_is_not_taken_again_and_its_code_is_reported(desk: Desk) -> None:
    await desk.list_forwarders("f1")
    await desk.live("f1")
    await desk.begin()
    before = await desk.paired_with("f1")
    await desk.list_forwarders("f1")
    await post(desk.redis, Worker.HEALTH, suspicion(before.epoch))

    [fault] = await desk.told(Worker.SAL, SessionFault)

    assert fault.code == 5753
    assert "owes END_READOUT's ack" in fault.report
    assert desk.asked == ["f1"]


async def test_no_other_forwarder_in_time_is_a_fault(desk: Desk) -> None:
    await desk.list_forwarders("f1")
    await desk.live("f1")
    await desk.begin()
    before = await desk.paired_with("f1")
    await desk.redis.delete("f1_association")
    await lost(desk, before.epoch)

    [fault] = await desk.told(Worker.SAL, SessionFault, f1=Reply.NO_CONSUMER)

    assert fault.code == 5755
    assert "f1" in fault.report


async def test_a_lost_forwarder_that_comes_back_in_time_is_taken_again(desk: Desk) -> None:
    await desk.list_forwarders("f1")
    await desk.live("f1")
    await desk.begin()
    before = await desk.paired_with("f1")
    await desk.redis.delete("f1_association")
    await lost(desk, before.epoch)
    await desk.live("f1")

    after = await desk.paired_with("f1")

    assert after.epoch > before.epoch


async def test_a_key_that_is_missing_for_a_moment_is_no_loss(desk: Desk) -> None:
    await desk.list_forwarders("f1")
    await desk.live("f1")
    await desk.begin()
    before = await desk.paired_with("f1")
    await desk.redis.delete("f1_association")
    await asyncio.sleep(0.4)
    await desk.live("f1")
    await asyncio.sleep(0.8)

    assert await desk.session() == before


async def test_a_candidate_that_was_being_tried_when_health_died_is_tried_again(fresh_redis: PrivateRedis) -> None:
    async with health_at_work(fresh_redis) as desk:
        await desk.list_forwarders("f1")
        await desk.live("f1")
        await desk.begin()

        async def asked() -> int:
            return (await desk.session()).epoch

        await eventually(asked, "the first question")
        assert await desk.redis.lrange(keys.CANDIDATE, 0, -1) == [entry("f1").model_dump_json().encode()]
    async with health_at_work(fresh_redis) as desk:
        await desk.paired_with("f1")


async def test_a_forwarder_restarted_in_place_shows_by_listing_itself_and_is_paired_anew(desk: Desk) -> None:
    """Its key and its queue's consumer are there, but the new process knows nothing of the images in flight."""
    await desk.list_forwarders("f1", "f1")
    await desk.live("f1")
    await desk.begin()
    before = await desk.paired_with("f1")
    assert await desk.redis.llen(keys.FORWARDER_LIST) == 0, "its double entry is gone, or it would look like a restart"
    await desk.list_forwarders("f1")
    await lost(desk, before.epoch)

    after = await desk.paired_with("f1")

    assert after.epoch > before.epoch
    await asyncio.sleep(0.8)
    assert (await desk.session()).epoch == after.epoch


async def test_an_entry_that_names_a_queue_of_somebody_else_is_refused(desk: Desk) -> None:
    bad = entry("f1").model_copy(update={"consume_queue": desk.settings.archive_ctrl_consume_queue})
    await desk.redis.lpush(keys.FORWARDER_LIST, bad.model_dump_json())
    await desk.list_forwarders("f2")
    await desk.live("f2")
    await desk.begin()

    await desk.paired_with("f2")

    assert desk.asked == ["f2"]
    [dead] = await dead_letters(desk.redis)
    assert b"archive_ctrl_consume" in dead["reason"]
