"""Messages from RabbitMQ: they reach SAL or become dead letters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.keys import Worker
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers import PrivateRabbit
from tests.bridge.harness import SESSION, BridgeHarness, bridge_at_work, end_of, start_of
from tests.bridge.peer import ACKS, FROM_CONTROLLER, FROM_OODS, TELEMETRY, on_the_wire
from tests.core.redis_helpers import LIMIT_S, enqueue, eventually, read_dead_letters

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.redis.replies import Entries
    from ccarchiver_sim.testbed.brokers import PrivateRedis

BAD = {
    "empty": b"",
    "not a mapping": b"just text",
    "not YAML": b"{MSG_TYPE: [",
    "no MSG_TYPE": b"OBSID: i\n",
    "unknown MSG_TYPE": b"MSG_TYPE: NO_SUCH_TYPE\n",
    "missing fields": b"MSG_TYPE: IMAGE_IN_OODS\nOBSID: i\n",
    "wrong types": b"MSG_TYPE: IMAGE_RETRIEVAL_FOR_ARCHIVING\nOBSID: [i]\nSTATUS_CODE: 0\n",
    "not UTF-8": b"MSG_TYPE: \xff\xfe\x00",
    "alias bomb": b"a: &a [x]\nb: [*a, *a]\n",
    "deep": b"[" * 10_000,
    "10 MB": b"MSG_TYPE: " + b"x" * 10_000_000,
}


async def statuses(harness: BridgeHarness, count: int) -> list[FileStatus]:
    async def found_all() -> list[FileStatus] | None:
        found = await harness.messages_to(Worker.SAL, FileStatus)
        return found if len(found) >= count else None

    return await eventually(found_all, f"{count} statuses")


def good(number: int = 0) -> dict[str, object]:
    return {
        "MSG_TYPE": "IMAGE_IN_OODS",
        "CAMERA": "COMCAM",
        "ARCHIVER": "CCArchiver",
        "OBSID": "i",
        "FILENAME": f"{number}.fits",
        "STATUS_CODE": 0,
        "DESCRIPTION": "ok",
    }


async def test_each_kind_of_status_becomes_a_message_to_sal(harness: BridgeHarness) -> None:
    raft = {"RAFT": "22", "SENSOR": "S00"}
    retrieval = {
        "MSG_TYPE": "IMAGE_RETRIEVAL_FOR_ARCHIVING",
        "OBSID": "i",
        "FILENAME": "f",
        "STATUS_CODE": 0,
    }
    harness.peer.declare(TELEMETRY, FROM_OODS, FROM_CONTROLLER)
    harness.peer.send(TELEMETRY, **retrieval, **raft, DESCRIPTION="ok")
    [first] = await statuses(harness, 1)
    harness.peer.send(FROM_CONTROLLER, **{**good(), "STATUS_CODE": 5611})
    harness.peer.send(FROM_OODS, **{**good(), **raft, "MSG_TYPE": "CC_FILE_INGEST_REQUEST"})
    others = (await statuses(harness, 3))[1:]

    assert (first.topic, first.raft, first.sensor) == (StatusTopic.RETRIEVAL, "22", "S00")
    assert (first.camera, first.archiver) == ("COMCAM", "CCArchiver")
    assert {other.topic for other in others} == {StatusTopic.IN_OODS}
    assert {(other.raft or "", other.status_code) for other in others} == {("", 5611), ("22", 0)}


async def test_nine_statuses_without_raft_and_sensor_are_nine_messages_in_order(
    harness: BridgeHarness,
) -> None:
    harness.peer.declare(FROM_OODS)
    for number in range(9):
        harness.peer.send(FROM_OODS, **good(number))

    found = await statuses(harness, 9)

    assert [status.filename for status in found] == [f"{number}.fits" for number in range(9)]


async def test_burst_of_statuses_reaches_sal_complete_and_in_order(harness: BridgeHarness) -> None:
    harness.peer.declare(FROM_OODS)
    for number in range(2000):
        harness.peer.send(FROM_OODS, **good(number))

    found = await statuses(harness, 2000)

    assert [status.filename for status in found] == [f"{number}.fits" for number in range(2000)]


@pytest.mark.parametrize("queue", [ACKS, TELEMETRY, FROM_OODS, FROM_CONTROLLER])
async def test_bad_messages_are_dead_lettered_raw_and_the_next_good_one_is_handled(
    harness: BridgeHarness, queue: str
) -> None:
    harness.peer.declare(queue)
    for body in BAD.values():
        harness.peer.send_raw(queue, body)
    harness.peer.send(queue, **good())

    [status] = await statuses(harness, 1)

    dead = await read_dead_letters(harness.redis)
    assert status.filename == "0.fits"
    assert [message["raw"] for message in dead] == list(BAD.values())
    assert {message["origin"] for message in dead} == {queue.encode()}
    assert all(message["reason"] for message in dead)
    await harness.accept("i", start_of("i"))
    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")  # the connection is still open


async def test_delivery_that_redis_has_not_recorded_is_redelivered(harness: BridgeHarness) -> None:
    harness.peer.declare(FROM_OODS)
    harness.peer.send(FROM_OODS, **good(1))
    await statuses(harness, 1)
    await harness.stop()
    harness.peer.send(FROM_OODS, **good(2))
    await harness.peer.wait_until(
        lambda: harness.peer.messages_in(FROM_OODS) == 1, "the message to be in the queue"
    )

    await harness.start()

    assert [status.filename for status in await statuses(harness, 2)] == ["1.fits", "2.fits"]
    # When the next message has been handled, the acknowledgement of this one has been sent.
    harness.peer.send(FROM_OODS, **good(3))
    await statuses(harness, 3)
    await harness.stop()
    await harness.peer.wait_until(
        lambda: harness.peer.messages_in(FROM_OODS) <= 1, "the acknowledgement"
    )


async def test_full_mailbox_leaves_statuses_in_rabbitmq(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with bridge_at_work(fresh_redis, rabbit_server, fresh_vhost, MAX_MAILBOX=5) as harness:
        await harness.pair()
        harness.peer.declare(FROM_OODS)
        for number in range(500):
            harness.peer.send(FROM_OODS, **good(number))
        await statuses(harness, 5)
        await harness.peer.wait_until(
            lambda: harness.peer.messages_in(FROM_OODS) > 0, "some to stay in RabbitMQ"
        )
        assert len(await harness.messages_to(Worker.SAL, FileStatus)) < 500

        received = list[str | None]()

        async def read_on() -> bool:
            entries = cast("Entries", await harness.redis.xrange(Worker.SAL.mailbox))
            for entry_id, fields in entries:
                received.append(FileStatus.model_validate_json((fields or {})[b"message"]).filename)
                await harness.redis.xdel(Worker.SAL.mailbox, entry_id)
            return len(received) >= 500

        await eventually(read_on, "the rest")
        assert received == [f"{number}.fits" for number in range(500)]


async def test_bridge_reconnects_after_a_rabbitmq_restart_and_loses_nothing(
    fresh_redis: PrivateRedis, tmp_path: Path
) -> None:
    with PrivateRabbit(tmp_path / "rabbit") as rabbit:
        vhost = rabbit.vhosts[0]
        async with bridge_at_work(fresh_redis, rabbit, vhost) as harness:
            await harness.pair()
            await harness.accept("i", start_of("i"))
            await harness.controller_answers("i")
            await harness.peer.receive("CC_FWDR_XFER_PARAMS")
            harness.peer.close()
            await asyncio.to_thread(rabbit.stop)
            await harness.accept("i", end_of("i"))
            await harness.accept("j", start_of("j"))
            rabbit.start()

            async with within(LIMIT_S), on_the_wire(rabbit, vhost, "archive_ctrl_consume") as peer:
                await peer.receive("NEW_CC_ARCHIVE_ITEM", "j")
                await peer.wait_until(
                    lambda: peer.messages_in("f99_consume") > 0, "END_READOUT for the Forwarder"
                )


async def test_session_changed_message_for_another_session_is_ignored(
    harness: BridgeHarness,
) -> None:
    await enqueue(harness.redis, Worker.BRIDGE, SessionChanged(session_id="an older session"))
    await harness.accept("i", start_of("i"))

    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
    assert (await harness.record("i"))["session"] == SESSION


async def test_unknown_messages_that_arrive_together_are_logged_together(
    harness: BridgeHarness,
) -> None:
    harness.peer.declare(FROM_OODS)
    await harness.stop()
    for number in range(200):
        harness.peer.send_raw(FROM_OODS, f"MSG_TYPE: UNKNOWN_{number}\n".encode())
    await harness.peer.wait_until(
        lambda: harness.peer.messages_in(FROM_OODS) == 200, "the messages to be in the queue"
    )

    with capture_logs() as lines:
        await harness.start()

        async def all_rejected() -> bool:
            return len(await read_dead_letters(harness.redis)) == 200

        await eventually(all_rejected, "the dead letters")

    rejected = [line for line in lines if line["event"] == "message.dead_lettered"]
    assert len(rejected) < 100
    assert sum(line.get("messages", 1) for line in rejected) == 200
    dead = await read_dead_letters(harness.redis)
    assert dead[-1]["reason"] == b"unknown MSG_TYPE 'UNKNOWN_199'"
