"""Pairing with a Forwarder, its loss and its replacement."""

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
from tests.core.redis_helpers import counter, enqueue, eventually, messages_in, read_dead_letters
from tests.health.harness import SESSION, HealthHarness, entry, running_health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.domain.session import Session
    from ccarchiver_sim.testbed.brokers import PrivateRedis

KEY = "ccarchiver_association"


@pytest_asyncio.fixture
async def harness(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HealthHarness]:
    monkeypatch.setattr(forwarder_search, "PRESENCE_WAIT", 0.5)
    async with running_health(fresh_redis) as ready:
        yield ready


async def test_first_listed_forwarder_is_paired_and_all_workers_are_notified(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("f1", "f2")
    await harness.write_presence("f1")
    await harness.begin()

    session = await harness.paired_with("f1")

    assert harness.attempted == ["f1"]
    assert session.forwarder is not None
    assert session.forwarder.presence_key == "f1_association"
    assert await harness.messages_to(Worker.SAL, SessionStarted) == [
        SessionStarted(session_id=SESSION)
    ]
    assert await harness.messages_to(Worker.BRIDGE, SessionChanged) == [
        SessionChanged(session_id=SESSION)
    ]
    assert await harness.redis.get(KEY) == b"f1"
    assert 0 < await harness.redis.ttl(KEY) <= 10
    assert await harness.redis.llen(keys.FORWARDER_LIST) == 1, "f2 is still free"
    assert not await harness.redis.exists(keys.PAIRING_CANDIDATE)


async def test_forwarder_that_registers_during_the_search_is_paired(harness: HealthHarness) -> None:
    await harness.begin()
    await asyncio.sleep(0.5)
    await harness.write_presence("f1")
    await harness.list_forwarders("f1")

    await harness.paired_with("f1")


async def test_stale_duplicate_and_malformed_entries_are_skipped(harness: HealthHarness) -> None:
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
    await harness.write_presence("f1")
    await harness.write_presence("mute")
    await harness.begin()

    await harness.paired_with(
        "f1", stale=AssociationOutcome.NO_CONSUMER, mute=AssociationOutcome.SILENT
    )

    assert harness.attempted == ["stale", "mute", "keyless", "f1"]
    assert await counter(harness.redis, "association_failures") == 3
    assert [entry["raw"] for entry in await read_dead_letters(harness.redis)] == malformed
    assert {entry["origin"] for entry in await read_dead_letters(harness.redis)} == {
        b"forwarder_list"
    }


async def test_each_attempt_has_its_own_epoch_and_a_result_of_an_older_one_is_ignored(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("f1", "f2")
    await harness.write_presence("f1")
    await harness.write_presence("f2")
    await harness.begin()

    async def epoch() -> int:
        return (await harness.session()).epoch

    first = await eventually(epoch, "the first AssociateForwarder")
    await enqueue(
        harness.redis,
        Worker.HEALTH,
        *(
            AssociationResult(
                session_id=session,
                epoch=number,
                result=AssociationOutcome.ASSOCIATED,
                presence_key="f1_association",
            )
            for session, number in ((SESSION, first - 1), (SESSION, first + 1), ("another", first))
        ),
    )
    session = await harness.paired_with("f2", f1=AssociationOutcome.SILENT)

    assert session.epoch == first + 1


async def test_empty_forwarder_list_is_a_fault_that_names_the_list(harness: HealthHarness) -> None:
    await harness.begin()

    [fault] = await harness.messages_to(Worker.SAL, SessionFailed)

    assert (fault.session_id, fault.code) == (SESSION, 5701)
    assert "forwarder_list" in fault.report


async def test_forwarders_that_do_not_answer_have_their_own_fault_code(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("mute")
    await harness.begin()

    [fault] = await harness.messages_to(Worker.SAL, SessionFailed, mute=AssociationOutcome.SILENT)

    assert fault.code == 5752
    assert "mute" in fault.report


async def test_session_end_is_confirmed_and_the_association_key_stays_deleted(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("f1")
    await harness.write_presence("f1")
    await harness.begin()
    await harness.paired_with("f1")
    await harness.end()

    down = await harness.messages_to(Worker.SAL, SessionStopped)

    assert down == [SessionStopped(session_id=SESSION, worker=Worker.HEALTH)]
    await asyncio.sleep(0.3)
    assert not await harness.redis.exists(KEY)


async def test_session_end_stops_the_search(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.begin()

    async def attempted() -> int:
        return (await harness.session()).epoch

    await eventually(attempted, "the first AssociateForwarder")
    await harness.end()
    await harness.messages_to(Worker.SAL, SessionStopped)

    assert not await harness.redis.exists(KEY)
    assert not (await harness.session()).is_paired


async def test_association_key_is_renewed_periodically(fresh_redis: PrivateRedis) -> None:
    expiry_s = math.ceil(scaled(3))  # more than the process may be stalled
    beacon = {"SECONDS_TO_EXPIRE": expiry_s, "SECONDS_TO_UPDATE": 0.2}
    async with running_health(fresh_redis, CSC={"BEACON": beacon}) as harness:
        await harness.list_forwarders("f1")
        await harness.write_presence("f1")
        await harness.begin()
        await harness.paired_with("f1")
        until = time.monotonic() + 1.3 * expiry_s
        while time.monotonic() < until:
            await asyncio.sleep(0.1)
            assert await harness.redis.get(KEY) == b"f1"


async def lost(harness: HealthHarness, epoch: int) -> Session:
    async def later() -> Session | None:
        now = await harness.session()
        return now if now.epoch > epoch else None

    return await eventually(later, "a later epoch")


@pytest.mark.parametrize("how", ["key", "suspect"])
async def test_lost_forwarder_is_replaced_by_the_next_one_with_a_later_epoch(
    harness: HealthHarness, how: str
) -> None:
    await harness.list_forwarders("f1", "f2")
    await harness.write_presence("f1")
    await harness.write_presence("f2")
    await harness.begin()
    before = await harness.paired_with("f1")
    if how == "key":
        await harness.redis.delete("f1_association")
    else:
        await enqueue(harness.redis, Worker.HEALTH, replace_message(before.epoch))

    after = await harness.paired_with("f2")

    assert after.epoch > before.epoch
    assert after.loss is None
    assert await harness.redis.get(KEY) == b"f2"
    assert await harness.messages_to(Worker.BRIDGE, PurgeQueues) == [
        PurgeQueues(session_id=SESSION)
    ]
    assert await harness.redis.smembers(keys.QUEUES_TO_PURGE) == {b"f1_consume"}
    bridge = [type(message).__name__ for message in await messages_in(harness.redis, Worker.BRIDGE)]
    assert bridge.index("PurgeQueues") < len(bridge) - 1 - bridge[::-1].index(
        "AssociateForwarder"
    ), "queues are purged before f2 is asked"


async def test_released_forwarder_is_replaced_by_a_known_forwarder(harness: HealthHarness) -> None:
    await harness.redis.hset(keys.KNOWN_FORWARDERS, "f1_consume", entry("f1").model_dump_json())
    await harness.redis.hset(keys.KNOWN_FORWARDERS, "f2_consume", entry("f2").model_dump_json())
    await harness.write_presence("f1")
    await harness.write_presence("f2")
    await harness.begin()
    before = await harness.paired_with("f1")
    released = ReplaceForwarder(
        session_id=SESSION,
        epoch=before.epoch,
        reason=ReplaceReason.RELEASED,
        code=5755,
        report="released",
    )
    await enqueue(harness.redis, Worker.HEALTH, released)

    await harness.paired_with("f2")

    assert harness.attempted == ["f1", "f2"]


async def test_result_of_each_association_attempt_is_recorded(harness: HealthHarness) -> None:
    await harness.list_forwarders("gone", "f1")
    await harness.write_presence("f1")
    await harness.begin()
    await harness.paired_with("f1", gone=AssociationOutcome.NO_CONSUMER)

    attempts = await association_attempts.read(harness.redis)

    assert {queue: one.accepted for queue, one in attempts.items()} == {
        "gone_consume": False,
        "f1_consume": True,
    }
    assert attempts["gone_consume"].detail


def replace_message(epoch: int, session_id: str = SESSION) -> ReplaceForwarder:
    return ReplaceForwarder(
        session_id=session_id,
        epoch=epoch,
        reason=ReplaceReason.MISSING_ACK,
        code=5753,
        report="did not send END_READOUT's ack",
    )


async def test_replace_request_of_an_older_epoch_or_session_is_ignored(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("f1")
    await harness.write_presence("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await enqueue(
        harness.redis,
        Worker.HEALTH,
        replace_message(before.epoch - 1),
        replace_message(before.epoch, "another"),
    )

    async def read() -> bool:
        return await messages_in(harness.redis, Worker.HEALTH) == []

    await eventually(read, "an empty mailbox of health")
    assert await harness.session() == before


async def test_unresponsive_forwarder_is_not_paired_again_and_its_code_is_published(
    harness: HealthHarness,
) -> None:
    await harness.list_forwarders("f1")
    await harness.write_presence("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.list_forwarders("f1")
    await enqueue(harness.redis, Worker.HEALTH, replace_message(before.epoch))

    [fault] = await harness.messages_to(Worker.SAL, SessionFailed)

    assert fault.code == 5753
    assert "did not send END_READOUT's ack" in fault.report
    assert harness.attempted == ["f1"]


async def test_no_replacement_within_the_grace_time_is_a_fault(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.write_presence("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.redis.delete("f1_association")
    await lost(harness, before.epoch)

    [fault] = await harness.messages_to(
        Worker.SAL, SessionFailed, f1=AssociationOutcome.NO_CONSUMER
    )

    assert fault.code == 5755
    assert "f1" in fault.report


async def test_lost_forwarder_that_returns_in_time_is_paired_again(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.write_presence("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.redis.delete("f1_association")
    await lost(harness, before.epoch)
    await harness.write_presence("f1")

    after = await harness.paired_with("f1")

    assert after.epoch > before.epoch


async def test_briefly_missing_presence_key_is_not_a_loss(harness: HealthHarness) -> None:
    await harness.list_forwarders("f1")
    await harness.write_presence("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    await harness.redis.delete("f1_association")
    await asyncio.sleep(0.4)
    await harness.write_presence("f1")
    await asyncio.sleep(0.8)

    assert await harness.session() == before


async def test_candidate_of_a_restarted_health_worker_is_tried_again(
    fresh_redis: PrivateRedis,
) -> None:
    async with running_health(fresh_redis) as harness:
        await harness.list_forwarders("f1")
        await harness.write_presence("f1")
        await harness.begin()

        async def attempted() -> int:
            return (await harness.session()).epoch

        await eventually(attempted, "the first AssociateForwarder")
        assert await harness.redis.lrange(keys.PAIRING_CANDIDATE, 0, -1) == [
            entry("f1").model_dump_json().encode()
        ]
    async with running_health(fresh_redis) as harness:
        await harness.paired_with("f1")


async def test_restarted_forwarder_that_registers_again_is_paired_again(
    harness: HealthHarness,
) -> None:
    """Its presence key and consumer exist, but the new process has no data of unfinished images."""
    await harness.list_forwarders("f1", "f1")
    await harness.write_presence("f1")
    await harness.begin()
    before = await harness.paired_with("f1")
    assert await harness.redis.llen(keys.FORWARDER_LIST) == 0, (
        "its duplicate entry is removed; it would look like a restart"
    )
    await harness.list_forwarders("f1")
    await lost(harness, before.epoch)

    after = await harness.paired_with("f1")

    assert after.epoch > before.epoch
    await asyncio.sleep(0.8)
    assert (await harness.session()).epoch == after.epoch


async def test_entry_with_a_foreign_queue_is_rejected(harness: HealthHarness) -> None:
    bad = entry("f1").model_copy(
        update={"consume_queue": harness.settings.archive_ctrl_consume_queue}
    )
    await harness.redis.lpush(keys.FORWARDER_LIST, bad.model_dump_json())
    await harness.list_forwarders("f2")
    await harness.write_presence("f2")
    await harness.begin()

    await harness.paired_with("f2")

    assert harness.attempted == ["f2"]
    [dead] = await read_dead_letters(harness.redis)
    assert b"archive_ctrl_consume" in dead["reason"]


OUTAGE = "waiting for RabbitMQ at 127.0.0.1:5672"


async def failures(harness: HealthHarness) -> list[SessionFailed]:
    return [
        message
        for message in await messages_in(harness.redis, Worker.SAL)
        if isinstance(message, SessionFailed)
    ]


@pytest.mark.parametrize("after_a_loss", [False, True], ids=["start", "after a loss"])
async def test_rabbitmq_outage_does_not_count_as_search(
    fresh_redis: PrivateRedis, *, after_a_loss: bool
) -> None:
    limit_s = scaled(0.5)
    async with running_health(
        fresh_redis, PAIR_TIMEOUT=limit_s, REASSIGN_GRACE=limit_s, CONNECT_TIMEOUT=1000 * limit_s
    ) as harness:
        if after_a_loss:
            await harness.list_forwarders("f1")
            await harness.write_presence("f1")
        await harness.begin()
        if after_a_loss:
            before = await harness.paired_with("f1")
            await harness.set_bridge(link_since=0.0, link_problem=OUTAGE)
            await harness.redis.delete("f1_association")
            await lost(harness, before.epoch)
        else:
            await harness.set_bridge(link_since=0.0, link_problem=OUTAGE)
        await asyncio.sleep(4 * limit_s)
        assert await failures(harness) == []
        await harness.write_presence("f1")
        await harness.list_forwarders("f1")
        await harness.set_bridge(link_since=2.0)

        await harness.paired_with("f1")


async def test_other_problem_of_the_bridge_is_no_cause_of_a_search_without_result(
    fresh_redis: PrivateRedis,
) -> None:
    async with running_health(fresh_redis, PAIR_TIMEOUT=0.5) as harness:
        await harness.set_bridge(link_since=1.0, degraded_reason="queue q has 2 consumers")
        await harness.begin()

        [fault] = await harness.messages_to(Worker.SAL, SessionFailed)

    assert fault.code == 5701
    assert "2 consumers" not in fault.report


async def test_outage_longer_than_its_limit_is_the_reported_cause(
    fresh_redis: PrivateRedis,
) -> None:
    async with running_health(
        fresh_redis, PAIR_TIMEOUT=0.5, CONNECT_TIMEOUT=scaled(0.5)
    ) as harness:
        await harness.set_bridge(link_since=1.0, link_problem="RabbitMQ accepts no messages")
        await harness.begin()

        [fault] = await harness.messages_to(Worker.SAL, SessionFailed)

    assert fault.code == 5071
    assert "RabbitMQ accepts no messages" in fault.report


async def test_listed_forwarder_behind_silent_ones_is_tried_after_pair_timeout(
    fresh_redis: PrivateRedis,
) -> None:
    limit_s = scaled(0.5)
    async with running_health(
        fresh_redis, PAIR_TIMEOUT=limit_s, ACK_TIMEOUT=10 * limit_s, START_TIMEOUT=1000 * limit_s
    ) as harness:
        await harness.list_forwarders("mute", "f1")
        await harness.write_presence("f1")
        await harness.begin()
        await asyncio.sleep(3 * limit_s)

        await harness.paired_with("f1", mute=AssociationOutcome.SILENT)


async def test_search_ends_although_several_known_forwarders_accept_without_a_presence_key(
    fresh_redis: PrivateRedis,
) -> None:
    """While one is tried, the next attempt with the other becomes due."""
    async with running_health(fresh_redis) as harness:
        for name in ("f1", "f2", "f3"):
            await harness.redis.hset(
                keys.KNOWN_FORWARDERS, f"{name}_consume", entry(name).model_dump_json()
            )
        await harness.begin()

        [fault] = await harness.messages_to(Worker.SAL, SessionFailed)

    assert fault.code == 5701
