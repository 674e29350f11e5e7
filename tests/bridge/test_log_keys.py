"""Each log line of the bridge about an image has the image, ACK_ID and epoch of that image."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from tests.bridge.harness import end_of, start_of
from tests.bridge.peer import ACKS, FORWARDER
from tests.core.redis_helpers import eventually, read_dead_letters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

    from tests.bridge.harness import BridgeHarness

Lines = list["MutableMapping[str, object]"]


@contextmanager
def captured() -> Iterator[Lines]:
    """Capture the log lines with the values that are bound to the tasks."""
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as lines:
        yield lines


def one(lines: Lines, event: str, **having: object) -> Mapping[str, object]:
    [found] = [line for line in lines if line["event"] == event and having.items() <= line.items()]
    return found


async def test_log_lines_of_an_instruction_and_its_ack_have_image_ack_id_and_epoch(
    harness: BridgeHarness,
) -> None:
    with captured() as lines:
        await harness.accept("i", start_of("i"), end_of("i"))
        new_item = await harness.controller_answers("i")
        instruction = await harness.peer.receive("CC_FWDR_XFER_PARAMS")
        harness.peer.acknowledge(instruction)

        async def answered() -> bool:
            return any(
                line.get("instruction") == "xfer_params"
                for line in lines
                if line["event"] == "instruction.acknowledged"
            )

        await eventually(answered, "the line of the ack")

    new_item_keys = {"image": "i", "ack_id": new_item.fields["ACK_ID"]}
    for event in ("instruction.sent", "instruction.acknowledged"):
        line = one(lines, event, instruction="new_item")
        assert new_item_keys.items() <= line.items()
        assert "epoch" not in line, "an instruction to the Controller belongs to no pairing"
    xfer_keys = {"image": "i", "ack_id": instruction.fields["ACK_ID"], "epoch": 1}
    for event in ("instruction.sent", "instruction.acknowledged"):
        assert xfer_keys.items() <= one(lines, event, instruction="xfer_params").items()
    assert (
        one(lines, "instruction.sent", instruction="end_readout")["ack_id"] != xfer_keys["ack_id"]
    ), "its own ACK_ID, not that of the ack"


async def test_log_line_of_an_unusable_ack_has_the_image_of_that_ack_only(
    harness: BridgeHarness,
) -> None:
    with captured() as lines:
        await harness.accept("i", start_of("i"))
        message = await harness.peer.receive("NEW_CC_ARCHIVE_ITEM")
        # Two unusable acks at once: one has the wrong type, the other belongs to no message.
        harness.peer.send(
            ACKS, MSG_TYPE="CC_FWDR_XFER_PARAMS_ACK", ACK_ID=message.fields["ACK_ID"], COMPONENT="x"
        )
        harness.peer.send(
            ACKS,
            MSG_TYPE="CC_FWDR_XFER_PARAMS_ACK",
            ACK_ID="unknown_1",
            IMAGE_ID="j",
            COMPONENT="x",
        )

        async def over() -> bool:
            return {"message.dead_lettered", "ack.ignored"} <= {
                str(line["event"]) for line in lines
            }

        async def is_dead_lettered() -> bool:  # the line comes before the transaction is applied
            return len(await read_dead_letters(harness.redis)) == 1

        await eventually(over, "both lines")
        await eventually(is_dead_lettered, "the dead letter")

    rejected = one(lines, "message.dead_lettered")
    assert (rejected["image"], rejected["ack_id"], rejected["queue"]) == (
        "i",
        message.fields["ACK_ID"],
        ACKS,
    )
    ignored = one(lines, "ack.ignored")
    assert (ignored["image"], ignored["ack_id"]) == ("j", "unknown_1")


async def test_missing_queue_is_logged_with_image_and_epoch(harness: BridgeHarness) -> None:
    await harness.accept("i", start_of("i"))
    await harness.controller_answers("i")
    await harness.peer.receive("CC_FWDR_XFER_PARAMS")
    harness.peer.channel.queue_delete(FORWARDER)
    with captured() as lines:
        await harness.accept("i", end_of("i"))

        async def sent() -> bool:
            return any(
                line.get("instruction") == "end_readout"
                for line in lines
                if line["event"] == "instruction.sent"
            )

        await eventually(sent, "END_READOUT")

    missing = one(lines, "queue.missing")
    assert (missing["image"], missing["queue"], missing["epoch"]) == ("i", FORWARDER, 1)
