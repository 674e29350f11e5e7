"""What the archiver tells the Controller and the Forwarder about an image, and when."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import ExposureMail, SessionDown
from tests.bridge.desk import SESSION, TARGET, Desk, end_of, forwarder, header_of, start_of
from tests.bridge.peer import ACKS, CONTROLLER, FORWARDER
from tests.core.place import dead_letters, eventually, post

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_core.exposure import ExposureEvent

ALL = ["NEW_CC_ARCHIVE_ITEM", "CC_FWDR_XFER_PARAMS", "CC_FWDR_END_READOUT", "CC_FWDR_HEADER_READY"]


async def test_an_image_gets_its_four_messages_in_order(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    asked = await desk.controller_answers("i")
    params = await desk.peer.hear("CC_FWDR_XFER_PARAMS")
    await desk.accept("i", end_of("i"))
    ended = await desk.peer.hear("CC_FWDR_END_READOUT")
    await desk.accept("i", header_of("i"))
    header = await desk.peer.hear("CC_FWDR_HEADER_READY")

    assert desk.kinds("i") == ALL
    letters = (asked, params, ended, header)
    assert [letter.queue for letter in letters] == [CONTROLLER, FORWARDER, FORWARDER, FORWARDER]
    assert {letter.fields["REPLY_QUEUE"] for letter in letters} == {ACKS}
    assert {letter.properties.delivery_mode for letter in letters} == {2}, "all survive a restart of the broker"
    assert len({letter.fields["ACK_ID"] for letter in letters}) == 4
    assert all(letter.fields["ACK_ID"].startswith(f"{SESSION}_") for letter in letters)
    assert params.fields["TARGET_LOCATION"] == f"ARC@127.0.0.1:{TARGET}"
    assert params.fields["XFER_PARAMS"] == {
        "RAFT_LIST": "22",
        "RAFT_CCD_LIST": ["22/0", "22/1", "22/2"],
        "AT_FWDR": "f99",
    }
    assert header.fields["FILENAME"] == "http://127.0.0.1:8000/i.yaml"


EVENTS: tuple[Callable[[str], ExposureEvent], ...] = (start_of, end_of, header_of)


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids=lambda o: "-".join(e.__name__ for e in o))
async def test_nothing_goes_to_the_forwarder_before_the_controller_has_answered(
    desk: Desk, order: tuple[Callable[[str], ExposureEvent], ...]
) -> None:
    await desk.accept("i", *(event("i") for event in order))
    await desk.peer.hear("NEW_CC_ARCHIVE_ITEM")
    await desk.peer.quiet(0.2)
    assert desk.kinds("i") == ALL[:1]

    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_HEADER_READY")

    assert desk.kinds("i") == ALL


async def test_two_images_in_flight_keep_their_own_job_numbers(desk: Desk) -> None:
    await desk.accept("one", start_of("one"))
    await desk.peer.hear("NEW_CC_ARCHIVE_ITEM", "one")
    await desk.accept("two", start_of("two"), end_of("two"), header_of("two"))
    await desk.accept("one", end_of("one"), header_of("one"))
    await desk.controller_answers("two", "/data/2/")
    await desk.controller_answers("one", "/data/1/")
    for image in ("one", "two"):
        await desk.peer.hear("CC_FWDR_HEADER_READY", image)

    with_job = [letter.fields for letter in desk.peer.heard if "JOB_NUM" in letter.fields]
    jobs = {image: {f["JOB_NUM"] for f in with_job if f["IMAGE_ID"] == image} for image in ("one", "two")}
    assert jobs == {"one": {1}, "two": {2}}
    assert (await desk.peer.hear("CC_FWDR_XFER_PARAMS", "one")).fields["TARGET_LOCATION"].endswith(":/data/1/")
    assert (await desk.peer.hear("CC_FWDR_XFER_PARAMS", "two")).fields["TARGET_LOCATION"].endswith(":/data/2/")


async def test_a_repeated_letter_from_sal_sends_nothing_again(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_XFER_PARAMS")

    await post(desk.redis, Worker.BRIDGE, ExposureMail(obsid="i", job=1, event=start_of("i")))
    await desk.accept("i", end_of("i"))
    await desk.peer.hear("CC_FWDR_END_READOUT")

    assert desk.kinds("i") == ALL[:3]


async def test_another_forwarder_is_told_everything_of_an_unfinished_image_in_order(desk: Desk) -> None:
    desk.peer.listen("f98_consume")
    await desk.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await desk.controller_answers("i")
    first = await desk.peer.hear("CC_FWDR_HEADER_READY")

    await desk.pair(forwarder("f98"), epoch=2)
    second = await desk.peer.hear("CC_FWDR_HEADER_READY", count=2)

    assert [(letter.kind, letter.queue) for letter in desk.peer.heard[4:]] == [
        (kind, "f98_consume") for kind in ALL[1:]
    ]
    assert first.fields["ACK_ID"] != second.fields["ACK_ID"], "an answer of the old one must not pass for the new one's"
    assert desk.peer.heard[4].fields["XFER_PARAMS"]["AT_FWDR"] == "f98"


async def test_an_image_without_a_forwarder_waits_for_one(desk: Desk) -> None:
    await desk.search(epoch=2)
    await desk.accept("i", start_of("i"), end_of("i"))
    await desk.controller_answers("i")
    await desk.peer.quiet()
    assert desk.kinds("i") == ALL[:1]

    await desk.pair(epoch=3)
    await desk.peer.hear("CC_FWDR_END_READOUT")

    assert desk.kinds("i") == ALL[:3]


async def test_a_bridge_that_was_away_sends_what_it_missed_and_nothing_twice(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_XFER_PARAMS")
    await desk.recorded("i", "xfer_params")
    await desk.stop()
    await desk.accept("i", end_of("i"), header_of("i"))
    await desk.accept("j", start_of("j"), tell=False)  # the letter is lost, the record is not

    await desk.start()
    await desk.peer.hear("CC_FWDR_HEADER_READY", "i")
    await desk.peer.hear("NEW_CC_ARCHIVE_ITEM", "j")

    assert desk.kinds("i") == ALL


async def test_a_letter_that_an_earlier_bridge_was_given_is_not_taken_for_the_first_news(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_XFER_PARAMS")
    await desk.recorded("i", "xfer_params")
    await desk.stop()
    await desk.start()
    await desk.accept("j", start_of("j"))  # the new bridge is at work when this goes out
    await desk.peer.hear("NEW_CC_ARCHIVE_ITEM", "j")
    dispatcher = desk.bridge._dispatcher
    dispatcher._cache.clear()
    dispatcher._highest_job = 0  # it has not yet come to look at what an earlier one left
    await dispatcher.note(ExposureMail(obsid="i", job=1, event=start_of("i"), is_first=True), is_fresh=False)
    await desk.accept("i", end_of("i"))
    await desk.peer.hear("CC_FWDR_END_READOUT")

    assert desk.kinds("i") == ALL[:3]


async def test_no_finished_image_stays_in_memory(desk: Desk) -> None:
    dispatcher = desk.bridge._dispatcher
    await desk.accept("i", start_of("i"), end_of("i"), header_of("i"))
    await desk.controller_answers("i")
    for kind in ALL[1:]:
        assert "i" in dispatcher._cache
        desk.peer.acknowledge(await desk.peer.hear(kind))

    async def forgotten() -> bool:
        return "i" not in dispatcher._cache

    await eventually(forgotten, "the image to be let go")


async def test_an_answer_that_came_while_the_bridge_was_away_counts(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    await desk.peer.hear("NEW_CC_ARCHIVE_ITEM")
    await desk.recorded("i", "new_item")
    await desk.stop()
    await desk.controller_answers("i")

    await desk.start()
    await desk.peer.hear("CC_FWDR_XFER_PARAMS")

    assert desk.kinds("i") == ALL[:2]


async def test_a_queue_that_was_deleted_is_declared_again_for_the_next_message(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_XFER_PARAMS")
    desk.peer.channel.queue_delete(FORWARDER)

    await desk.accept("i", end_of("i"))

    async def recorded() -> bool:
        return "end_readout" in await desk.record("i")

    await eventually(recorded, "the record of a confirmed END_READOUT")
    assert desk.peer.messages_in(FORWARDER) == 1


async def test_when_the_session_ends_the_connection_is_closed_and_sal_is_told(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    await desk.peer.hear("NEW_CC_ARCHIVE_ITEM")
    await desk.end_session()

    async def told() -> list[SessionDown]:
        return await desk.told(Worker.SAL, SessionDown)

    assert await eventually(told, "SessionDown") == [SessionDown(session_id=SESSION, worker=Worker.BRIDGE)]
    # Nobody consumes any more: an answer now waits for the next session.
    desk.peer.say(ACKS, MSG_TYPE="CC_ITEMS_XFERD_ACK")
    await desk.peer.until(lambda: desk.peer.messages_in(ACKS) == 1, "the message to stay")
    assert await desk.told(Worker.SAL, SessionDown) == [SessionDown(session_id=SESSION, worker=Worker.BRIDGE)]


async def test_a_letter_of_another_worker_does_no_harm(desk: Desk) -> None:
    await post(desk.redis, Worker.BRIDGE, SessionDown(session_id=SESSION, worker=Worker.HEALTH))
    await desk.accept("i", start_of("i"))

    await desk.peer.hear("NEW_CC_ARCHIVE_ITEM")
    assert await dead_letters(desk.redis) == []


async def test_twenty_images_at_once_are_each_in_order(desk: Desk) -> None:
    images = [f"i{number:02}" for number in range(20)]
    await asyncio.gather(*(desk.accept(image, end_of(image), start_of(image), header_of(image)) for image in images))
    for image in images:
        await desk.controller_answers(image)
    for image in images:
        await desk.peer.hear("CC_FWDR_HEADER_READY", image)

    # On a busy machine a message may be sent again: after ACK_TIMEOUT, or when RabbitMQ did not confirm it in time.
    # Then it is the same, byte for byte.
    firsts = {image: list(dict.fromkeys(desk.kinds(image))) for image in images}
    assert firsts == dict.fromkeys(images, ALL)
    assert len({letter.fields["ACK_ID"] for letter in desk.peer.heard}) == 80
    assert len({letter.body for letter in desk.peer.heard}) == 80
