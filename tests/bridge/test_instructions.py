"""Instructions to the Controller and the Forwarder: content, order and repetition."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from ccarchiver_bridge.new_images import NewImages
from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import ExposureEventMessage, SessionStopped
from ccarchiver_core.keys import Worker
from tests.bridge.harness import (
    SESSION,
    TARGET,
    BridgeHarness,
    end_of,
    forwarder,
    header_of,
    start_of,
)
from tests.bridge.peer import ACKS, CONTROLLER, FORWARDER
from tests.core.redis_helpers import enqueue, eventually, read_dead_letters

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_core.domain.exposure import ExposureEvent

ALL = ["NEW_CC_ARCHIVE_ITEM", "CC_FWDR_XFER_PARAMS", "CC_FWDR_END_READOUT", "CC_FWDR_HEADER_READY"]


async def test_image_has_its_four_messages_sent_in_order(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    new_item = await harness.controller_answers("i")
    params = await harness.peer.receive("CC_FWDR_XFER_PARAMS")
    await harness.accept("i", end_of("i"))
    ended = await harness.peer.receive("CC_FWDR_END_READOUT")
    await harness.accept("i", header_of("i"))
    header = await harness.peer.receive("CC_FWDR_HEADER_READY")

    assert harness.kinds("i") == ALL
    messages = (new_item, params, ended, header)
    assert [message.queue for message in messages] == [CONTROLLER, FORWARDER, FORWARDER, FORWARDER]
    assert {message.fields["REPLY_QUEUE"] for message in messages} == {ACKS}
    assert {message.properties.delivery_mode for message in messages} == {2}, (
        "all survive a restart of the broker"
    )
    assert len({message.fields["ACK_ID"] for message in messages}) == 4
    assert all(message.fields["ACK_ID"].startswith(f"{SESSION}_") for message in messages)
    assert params.fields["TARGET_LOCATION"] == f"ARC@127.0.0.1:{TARGET}"
    assert params.fields["XFER_PARAMS"] == {
        "RAFT_LIST": "22",
        "RAFT_CCD_LIST": ["22/0", "22/1", "22/2"],
        "AT_FWDR": "f99",
    }
    assert header.fields["FILENAME"] == "http://127.0.0.1:8000/i.yaml"


EVENTS: tuple[Callable[[str], ExposureEvent], ...] = (start_of, end_of, header_of)


@pytest.mark.parametrize(
    "instruction",
    list(itertools.permutations(EVENTS)),
    ids=lambda o: "-".join(e.__name__ for e in o),
)
async def test_forwarder_gets_no_instruction_before_the_controller_acknowledges(
    harness: BridgeHarness, instruction: tuple[Callable[[str], ExposureEvent], ...]
) -> None:
    await harness.accept("i", *(event("i") for event in instruction))
    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
    await harness.peer.poll_for(0.2)
    assert harness.kinds("i") == ALL[:1]

    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_HEADER_READY")

    assert harness.kinds("i") == ALL


async def test_images_in_flight_keep_their_own_job_numbers(harness: BridgeHarness) -> None:
    await harness.accept("one", start_of("one"))
    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM", "one")
    await harness.accept("two", start_of("two"), end_of("two"), header_of("two"))
    await harness.accept("one", end_of("one"), header_of("one"))
    await harness.controller_answers("two", "/data/2/")
    await harness.controller_answers("one", "/data/1/")
    for image in ("one", "two"):
        await harness.peer.receive("CC_FWDR_HEADER_READY", image)

    with_job = [message.fields for message in harness.peer.received if "JOB_NUM" in message.fields]
    jobs = {
        image: {f["JOB_NUM"] for f in with_job if f["IMAGE_ID"] == image}
        for image in ("one", "two")
    }
    assert jobs == {"one": {1}, "two": {2}}
    assert (
        (await harness.peer.receive("CC_FWDR_XFER_PARAMS", "one"))
        .fields["TARGET_LOCATION"]
        .endswith(":/data/1/")
    )
    assert (
        (await harness.peer.receive("CC_FWDR_XFER_PARAMS", "two"))
        .fields["TARGET_LOCATION"]
        .endswith(":/data/2/")
    )


async def test_repeated_event_message_sends_no_instruction_again(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS")

    await enqueue(
        harness.redis, Worker.BRIDGE, ExposureEventMessage(obsid="i", job=1, event=start_of("i"))
    )
    await harness.accept("i", end_of("i"))
    await harness.peer.receive("CC_FWDR_END_READOUT")

    assert harness.kinds("i") == ALL[:3]


async def test_new_forwarder_gets_all_instructions_of_an_unfinished_image_in_order(
    harness: BridgeHarness,
) -> None:
    harness.peer.listen("f98_consume")
    await harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await harness.controller_answers("i")
    first = await harness.peer.receive("CC_FWDR_HEADER_READY")

    await harness.pair(forwarder("f98"), epoch=2)
    second = await harness.peer.receive("CC_FWDR_HEADER_READY", count=2)

    assert [(message.kind, message.queue) for message in harness.peer.received[4:]] == [
        (kind, "f98_consume") for kind in ALL[1:]
    ]
    assert first.fields["ACK_ID"] != second.fields["ACK_ID"], (
        "an ack of the old one must not count for the new one"
    )
    assert harness.peer.received[4].fields["XFER_PARAMS"]["AT_FWDR"] == "f98"


async def test_image_waits_until_a_forwarder_is_paired(harness: BridgeHarness) -> None:
    await harness.search(epoch=2)
    await harness.accept("i", start_of("i"), end_of("i"))
    await harness.controller_answers("i")
    await harness.peer.poll_for()
    assert harness.kinds("i") == ALL[:1]

    await harness.pair(epoch=3)
    await harness.peer.receive("CC_FWDR_END_READOUT")

    assert harness.kinds("i") == ALL[:3]


async def test_restarted_bridge_sends_missed_instructions_and_none_twice(
    harness: BridgeHarness,
) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS")
    await harness.recorded("i", "xfer_params")
    await harness.stop()
    await harness.accept("i", end_of("i"), header_of("i"))
    await harness.accept("j", start_of("j"), notify=False)  # the message is lost, the record is not

    await harness.start()
    await harness.peer.receive("CC_FWDR_HEADER_READY", "i")
    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM", "j")

    assert harness.kinds("i") == ALL


async def test_redelivered_event_message_is_not_treated_as_a_new_image(
    harness: BridgeHarness,
) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS")
    await harness.recorded("i", "xfer_params")
    await harness.stop()
    await harness.start()
    await harness.accept("j", start_of("j"))  # when this is sent, the new bridge is running
    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM", "j")
    dispatcher = harness.bridge._dispatcher
    dispatcher._cache.clear()
    dispatcher._new_images = NewImages()  # as if it had not read yet what an earlier process left
    await dispatcher.handle_event(
        ExposureEventMessage(obsid="i", job=1, event=start_of("i"), is_new_image=True),
        is_first_delivery=False,
    )
    await harness.accept("i", end_of("i"))
    await harness.peer.receive("CC_FWDR_END_READOUT")

    assert harness.kinds("i") == ALL[:3]


async def test_dispatcher_removes_a_finished_image_from_its_cache(harness: BridgeHarness) -> None:
    dispatcher = harness.bridge._dispatcher
    await harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await harness.controller_answers("i")
    for kind in ALL[1:]:
        assert "i" in dispatcher._cache
        harness.peer.acknowledge(await harness.peer.receive(kind))

    async def is_removed() -> bool:
        return "i" not in dispatcher._cache

    await eventually(is_removed, "the image to leave the cache")


async def test_ack_that_arrived_while_the_bridge_was_stopped_counts(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
    await harness.recorded("i", "new_item")
    await harness.stop()
    await harness.controller_answers("i")

    await harness.start()
    await harness.peer.receive("CC_FWDR_XFER_PARAMS")

    assert harness.kinds("i") == ALL[:2]


async def test_deleted_queue_is_declared_again_for_the_next_message(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS")
    harness.peer.channel.queue_delete(FORWARDER)

    await harness.accept("i", end_of("i"))

    async def recorded() -> bool:
        return "end_readout" in await harness.record("i")

    await eventually(recorded, "the record of a confirmed END_READOUT")
    assert harness.peer.messages_in(FORWARDER) == 1


async def test_end_of_session_closes_the_connection_and_notifies_sal(
    harness: BridgeHarness,
) -> None:
    await harness.accept("i", start_of("i"))
    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
    await harness.end_session()

    async def stopped_messages() -> list[SessionStopped]:
        return await harness.messages_to(Worker.SAL, SessionStopped)

    assert await eventually(stopped_messages, "SessionStopped") == [
        SessionStopped(session_id=SESSION, worker=Worker.BRIDGE)
    ]
    # The bridge no longer consumes: an ack now stays in the queue.
    harness.peer.send(ACKS, MSG_TYPE="CC_ITEMS_XFERD_ACK")
    await harness.peer.wait_until(
        lambda: harness.peer.messages_in(ACKS) == 1, "the message to stay"
    )
    assert await harness.messages_to(Worker.SAL, SessionStopped) == [
        SessionStopped(session_id=SESSION, worker=Worker.BRIDGE)
    ]


async def test_session_stopped_message_from_health_is_ignored(harness: BridgeHarness) -> None:
    await enqueue(
        harness.redis, Worker.BRIDGE, SessionStopped(session_id=SESSION, worker=Worker.HEALTH)
    )
    await harness.accept("i", start_of("i"))

    await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
    assert await read_dead_letters(harness.redis) == []


async def test_each_of_twenty_concurrent_images_is_in_order(harness: BridgeHarness) -> None:
    images = [f"i{number:02}" for number in range(20)]
    await asyncio.gather(
        *(
            harness.accept(image, end_of(image), start_of(image), header_of(image))
            for image in images
        )
    )
    for image in images:
        await harness.controller_answers(image)
    for image in images:
        await harness.peer.receive("CC_FWDR_HEADER_READY", image)

    # On a busy machine a message may be sent again, after ACK_TIMEOUT or without a confirmation in
    # time. A message that is sent again has the same bytes.
    firsts = {image: list(dict.fromkeys(harness.kinds(image))) for image in images}
    assert firsts == dict.fromkeys(images, ALL)
    assert len({message.fields["ACK_ID"] for message in harness.peer.received}) == 80
    assert len({message.body for message in harness.peer.received}) == 80


async def test_bridge_starts_with_an_unreadable_pending_ack_and_sends_its_message_again(
    harness: BridgeHarness,
) -> None:
    await harness.accept("i", start_of("i"))
    first = await harness.peer.receive("NEW_CC_ARCHIVE_ITEM", "i")
    await harness.recorded("i", "new_item")
    await harness.stop()
    await harness.redis.hset(keys.PENDING_ACKS, first.fields["ACK_ID"], "sideways")
    await harness.redis.hset(keys.PENDING_ACKS, b"\xff", b"\xff")

    await harness.start()
    again = await harness.controller_answers("i")
    assert again.fields["ACK_ID"] == first.fields["ACK_ID"]
    await harness.peer.receive("CC_FWDR_XFER_PARAMS", "i")
    letters = await read_dead_letters(harness.redis)
    assert [letter["raw"] for letter in letters] == [b"sideways", b"\xff"]
