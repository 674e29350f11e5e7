"""Whose line a log line is: image, ACK_ID and epoch on all that the bridge logs of an image, never of another one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from tests.bridge.desk import end_of, start_of
from tests.bridge.peer import ACKS, FORWARDER
from tests.core.place import dead_letters, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

    from tests.bridge.desk import Desk

Lines = list["MutableMapping[str, object]"]


@contextmanager
def captured() -> Iterator[Lines]:
    """Keep what is logged, with what is bound to the tasks."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


def one(lines: Lines, event: str, **having: object) -> Mapping[str, object]:
    [found] = [line for line in lines if line["event"] == event and having.items() <= line.items()]
    return found


async def test_the_lines_of_an_order_and_its_answer_have_image_ack_id_and_epoch(desk: Desk) -> None:
    with captured() as lines:
        await desk.accept("i", start_of("i"), end_of("i"))
        new_item = await desk.controller_answers("i")
        order = await desk.peer.hear("CC_FWDR_XFER_PARAMS")
        desk.peer.acknowledge(order)

        async def answered() -> bool:
            return any(line.get("order") == "xfer_params" for line in lines if line["event"] == "order.answered")

        await eventually(answered, "the answer's line")

    asked = {"image": "i", "ack_id": new_item.fields["ACK_ID"]}
    for event in ("order.sent", "order.answered"):
        line = one(lines, event, order="new_item")
        assert asked.items() <= line.items()
        assert "epoch" not in line, "the Controller's orders belong to no pairing"
    told = {"image": "i", "ack_id": order.fields["ACK_ID"], "epoch": 1}
    for event in ("order.sent", "order.answered"):
        assert told.items() <= one(lines, event, order="xfer_params").items()
    assert one(lines, "order.sent", order="end_readout")["ack_id"] != told["ack_id"], "its own, not the answer's"


async def test_a_line_from_deep_below_an_answer_has_its_image_and_those_of_others_have_not(desk: Desk) -> None:
    with captured() as lines:
        await desk.accept("i", start_of("i"))
        letter = await desk.peer.hear("NEW_CC_ARCHIVE_ITEM")
        # Two that cannot be used, side by side: one answers what was asked with the wrong type, one is nobody's.
        desk.peer.say(ACKS, MSG_TYPE="CC_FWDR_XFER_PARAMS_ACK", ACK_ID=letter.fields["ACK_ID"], COMPONENT="x")
        desk.peer.say(ACKS, MSG_TYPE="CC_FWDR_XFER_PARAMS_ACK", ACK_ID="nobody_1", IMAGE_ID="j", COMPONENT="x")

        async def over() -> bool:
            return {"message.dead_lettered", "ack.ignored"} <= {str(line["event"]) for line in lines}

        await eventually(over, "both lines")
        assert len(await dead_letters(desk.redis)) == 1

    refused = one(lines, "message.dead_lettered")
    assert (refused["image"], refused["ack_id"], refused["queue"]) == ("i", letter.fields["ACK_ID"], ACKS)
    ignored = one(lines, "ack.ignored")
    assert (ignored["image"], ignored["ack_id"]) == ("j", "nobody_1")


async def test_a_missing_queue_is_logged_with_the_image_it_holds_up(desk: Desk) -> None:
    await desk.accept("i", start_of("i"))
    await desk.controller_answers("i")
    await desk.peer.hear("CC_FWDR_XFER_PARAMS")
    desk.peer.channel.queue_delete(FORWARDER)
    with captured() as lines:
        await desk.accept("i", end_of("i"))

        async def sent() -> bool:
            return any(line.get("order") == "end_readout" for line in lines if line["event"] == "order.sent")

        await eventually(sent, "END_READOUT")

    missing = one(lines, "queue.missing")
    assert (missing["image"], missing["queue"], missing["epoch"]) == ("i", FORWARDER, 1)
