"""What the archiver tells the Controller and the Forwarder about an image, and when."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.worker_messages import ExposureEventMessage, SessionStopped
from ccarchiver_core.keys import Worker
from tests.bridge.harness import SESSION, TARGET, BridgeHarness, end_of, forwarder, header_of, start_of
from tests.bridge.peer import ACKS, CONTROLLER, FORWARDER
from tests.core.redis_helpers import eventually, post, read_dead_letters

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_core.domain.exposure import ExposureEvent

ALL = ["NEW_CC_ARCHIVE_ITEM", "CC_FWDR_XFER_PARAMS", "CC_FWDR_END_READOUT", "CC_FWDR_HEADER_READY"]


async def test_an_image_gets_its_four_messages_in_order(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    asked = await harness.controller_answers("i")
    params = await harness.peer.hear("CC_FWDR_XFER_PARAMS")
    await harness.accept("i", end_of("i"))
    ended = await harness.peer.hear("CC_FWDR_END_READOUT")
    await harness.accept("i", header_of("i"))
    header = await harness.peer.hear("CC_FWDR_HEADER_READY")

    assert harness.kinds("i") == ALL
    letters = (asked, params, ended, header)
    assert [message.queue for message in letters] == [CONTROLLER, FORWARDER, FORWARDER, FORWARDER]
    assert {message.fields["REPLY_QUEUE"] for message in letters} == {ACKS}
    assert {message.properties.delivery_mode for message in letters} == {2}, "all survive a restart of the broker"
    assert len({message.fields["ACK_ID"] for message in letters}) == 4
    assert all(message.fields["ACK_ID"].startswith(f"{SESSION}_") for message in letters)
    assert params.fields["TARGET_LOCATION"] == f"ARC@127.0.0.1:{TARGET}"
    assert params.fields["XFER_PARAMS"] == {
        "RAFT_LIST": "22",
        "RAFT_CCD_LIST": ["22/0", "22/1", "22/2"],
        "AT_FWDR": "f99",
    }
    assert header.fields["FILENAME"] == "http://127.0.0.1:8000/i.yaml"


EVENTS: tuple[Callable[[str], ExposureEvent], ...] = (start_of, end_of, header_of)


@pytest.mark.parametrize(
    "instruction", list(itertools.permutations(EVENTS)), ids=lambda o: "-".join(e.__name__ for e in o)
)
async def test_nothing_goes_to_the_forwarder_before_the_controller_has_answered(
    harness: BridgeHarness, instruction: tuple[Callable[[str], ExposureEvent], ...]
) -> None:
    await harness.accept("i", *(event("i") for event in instruction))
    await harness.peer.hear("NEW_CC_ARCHIVE_ITEM")
    await harness.peer.quiet(0.2)
    assert harness.kinds("i") == ALL[:1]

    await harness.controller_answers("i")
    await harness.peer.hear("CC_FWDR_HEADER_READY")

    assert harness.kinds("i") == ALL


async def test_two_images_in_flight_keep_their_own_job_numbers(harness: BridgeHarness) -> None:
    await harness.accept("one", start_of("one"))
    await harness.peer.hear("NEW_CC_ARCHIVE_ITEM", "one")
    await harness.accept("two", start_of("two"), end_of("two"), header_of("two"))
    await harness.accept("one", end_of("one"), header_of("one"))
    await harness.controller_answers("two", "/data/2/")
    await harness.controller_answers("one", "/data/1/")
    for image in ("one", "two"):
        await harness.peer.hear("CC_FWDR_HEADER_READY", image)

    with_job = [message.fields for message in harness.peer.heard if "JOB_NUM" in message.fields]
    jobs = {image: {f["JOB_NUM"] for f in with_job if f["IMAGE_ID"] == image} for image in ("one", "two")}
    assert jobs == {"one": {1}, "two": {2}}
    assert (await harness.peer.hear("CC_FWDR_XFER_PARAMS", "one")).fields["TARGET_LOCATION"].endswith(":/data/1/")
    assert (await harness.peer.hear("CC_FWDR_XFER_PARAMS", "two")).fields["TARGET_LOCATION"].endswith(":/data/2/")


async def test_a_repeated_letter_from_sal_sends_nothing_again(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.hear("CC_FWDR_XFER_PARAMS")

    await post(harness.redis, Worker.BRIDGE, ExposureEventMessage(obsid="i", job=1, event=start_of("i")))
    await harness.accept("i", end_of("i"))
    await harness.peer.hear("CC_FWDR_END_READOUT")

    assert harness.kinds("i") == ALL[:3]


async def test_another_forwarder_is_told_everything_of_an_unfinished_image_in_order(harness: BridgeHarness) -> None:
    harness.peer.listen("f98_consume")
    await harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await harness.controller_answers("i")
    first = await harness.peer.hear("CC_FWDR_HEADER_READY")

    await harness.pair(forwarder("f98"), epoch=2)
    second = await harness.peer.hear("CC_FWDR_HEADER_READY", count=2)

    assert [(message.kind, message.queue) for message in harness.peer.heard[4:]] == [
        (kind, "f98_consume") for kind in ALL[1:]
    ]
    assert first.fields["ACK_ID"] != second.fields["ACK_ID"], "an answer of the old one must not pass for the new one's"
    assert harness.peer.heard[4].fields["XFER_PARAMS"]["AT_FWDR"] == "f98"


async def test_an_image_without_a_forwarder_waits_for_one(harness: BridgeHarness) -> None:
    await harness.search(epoch=2)
    await harness.accept("i", start_of("i"), end_of("i"))
    await harness.controller_answers("i")
    await harness.peer.quiet()
    assert harness.kinds("i") == ALL[:1]

    await harness.pair(epoch=3)
    await harness.peer.hear("CC_FWDR_END_READOUT")

    assert harness.kinds("i") == ALL[:3]


async def test_a_bridge_that_was_away_sends_what_it_missed_and_nothing_twice(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.hear("CC_FWDR_XFER_PARAMS")
    await harness.recorded("i", "xfer_params")
    await harness.stop()
    await harness.accept("i", end_of("i"), header_of("i"))
    await harness.accept("j", start_of("j"), tell=False)  # the letter is lost, the record is not

    await harness.start()
    await harness.peer.hear("CC_FWDR_HEADER_READY", "i")
    await harness.peer.hear("NEW_CC_ARCHIVE_ITEM", "j")

    assert harness.kinds("i") == ALL


async def test_a_letter_that_an_earlier_bridge_was_given_is_not_taken_for_the_first_news(
    harness: BridgeHarness,
) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.hear("CC_FWDR_XFER_PARAMS")
    await harness.recorded("i", "xfer_params")
    await harness.stop()
    await harness.start()
    await harness.accept("j", start_of("j"))  # the new bridge is at work when this goes out
    await harness.peer.hear("NEW_CC_ARCHIVE_ITEM", "j")
    dispatcher = harness.bridge._dispatcher
    dispatcher._cache.clear()
    dispatcher._highest_job = 0  # it has not yet come to look at what an earlier one left
    await dispatcher.handle_event(
        ExposureEventMessage(obsid="i", job=1, event=start_of("i"), is_new_image=True), is_fresh=False
    )
    await harness.accept("i", end_of("i"))
    await harness.peer.hear("CC_FWDR_END_READOUT")

    assert harness.kinds("i") == ALL[:3]


async def test_no_finished_image_stays_in_memory(harness: BridgeHarness) -> None:
    dispatcher = harness.bridge._dispatcher
    await harness.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await harness.controller_answers("i")
    for kind in ALL[1:]:
        assert "i" in dispatcher._cache
        harness.peer.acknowledge(await harness.peer.hear(kind))

    async def forgotten() -> bool:
        return "i" not in dispatcher._cache

    await eventually(forgotten, "the image to be let go")


async def test_an_answer_that_came_while_the_bridge_was_away_counts(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.peer.hear("NEW_CC_ARCHIVE_ITEM")
    await harness.recorded("i", "new_item")
    await harness.stop()
    await harness.controller_answers("i")

    await harness.start()
    await harness.peer.hear("CC_FWDR_XFER_PARAMS")

    assert harness.kinds("i") == ALL[:2]


async def test_a_queue_that_was_deleted_is_declared_again_for_the_next_message(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.hear("CC_FWDR_XFER_PARAMS")
    harness.peer.channel.queue_delete(FORWARDER)

    await harness.accept("i", end_of("i"))

    async def recorded() -> bool:
        return "end_readout" in await harness.record("i")

    await eventually(recorded, "the record of a confirmed END_READOUT")
    assert harness.peer.messages_in(FORWARDER) == 1


async def test_when_the_session_ends_the_connection_is_closed_and_sal_is_told(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.peer.hear("NEW_CC_ARCHIVE_ITEM")
    await harness.end_session()

    async def told() -> list[SessionStopped]:
        return await harness.told(Worker.SAL, SessionStopped)

    assert await eventually(told, "SessionDown") == [SessionStopped(session_id=SESSION, worker=Worker.BRIDGE)]
    # Nobody consumes any more: an answer now waits for the next session.
    harness.peer.say(ACKS, MSG_TYPE="CC_ITEMS_XFERD_ACK")
    await harness.peer.until(lambda: harness.peer.messages_in(ACKS) == 1, "the message to stay")
    assert await harness.told(Worker.SAL, SessionStopped) == [SessionStopped(session_id=SESSION, worker=Worker.BRIDGE)]


async def test_a_letter_of_another_worker_does_no_harm(harness: BridgeHarness) -> None:
    await post(harness.redis, Worker.BRIDGE, SessionStopped(session_id=SESSION, worker=Worker.HEALTH))
    await harness.accept("i", start_of("i"))

    await harness.peer.hear("NEW_CC_ARCHIVE_ITEM")
    assert await read_dead_letters(harness.redis) == []


async def test_twenty_images_at_once_are_each_in_order(harness: BridgeHarness) -> None:
    images = [f"i{number:02}" for number in range(20)]
    await asyncio.gather(*(harness.accept(image, end_of(image), start_of(image), header_of(image)) for image in images))
    for image in images:
        await harness.controller_answers(image)
    for image in images:
        await harness.peer.hear("CC_FWDR_HEADER_READY", image)

    # On a busy machine a message may be sent again: after ACK_TIMEOUT, or when RabbitMQ did not confirm it in time.
    # Then it is the same, byte for byte.
    firsts = {image: list(dict.fromkeys(harness.kinds(image))) for image in images}
    assert firsts == dict.fromkeys(images, ALL)
    assert len({message.fields["ACK_ID"] for message in harness.peer.heard}) == 80
    assert len({message.body for message in harness.peer.heard}) == 80
