from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.status.images import bounds_of, observing_day
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import messages_in, read_exposure, read_fields
from tests.support.ledger_builder import EPOCH, SESSION, Progress

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

AGO_S = 60.0
"""Age of the exposures: old enough that none counts as in progress."""


def image(number: int) -> str:
    return f"CC_O_20261122_{number:06d}"


async def test_complete_night_exits_0(cli: CommandRunner) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    for number in (1, 2, 3):
        await cli.ledger_builder.exposure(image(number), number, begin + number)

    answer = await cli.run("night")

    assert answer.code == 0
    assert "images seen 3" in answer.words
    assert "files expected 27" in answer.words
    assert "complete: nothing is missing" in answer.words
    assert "50 % within" in answer.words


async def test_missing_files_and_images_are_counted_and_named(cli: CommandRunner) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    ledger_builder = cli.ledger_builder
    await ledger_builder.exposure(image(1), 1, begin + 1)
    await ledger_builder.exposure(image(2), 2, begin + 2, Progress.COMPLETE, files=4)
    await ledger_builder.stalled(image(3), 3, begin + 3, Progress.ASSIGNED)
    await ledger_builder.failed(image(4), 4, begin + 4, "refused", 5752)
    await ledger_builder.unaccepted(image(8), begin + 5, ImageState.SKIPPED)

    answer = await cli.run("night")
    report = (await cli.run("night", "--json")).json

    assert answer.code == 1
    assert (
        "5752 1 no usable answer to ASSOCIATED, NEW_CC_ARCHIVE_ITEM or CC_FWDR_XFER_PARAMS: "
        f"{image(4)}"
    ) in answer.words
    assert f"{image(5)} to {image(7)}" in answer.words
    assert "NOT complete" in answer.words
    assert report["well"] is False
    assert report["seen"] == 5
    assert report["unfinished"] == [image(2), image(3)]
    assert report["stalled"] == [image(3)]
    assert report["failed"] == {"5752": [image(4)]}
    assert report["skipped"] == [image(8)]
    assert report["gaps"] == [{"first": image(5), "last": image(7), "count": 3}]
    assert (report["files_expected"], report["files_retrieved"], report["files_ingested"]) == (
        36,
        18,
        13,
    )


async def test_night_with_a_refused_exposure_is_not_complete_and_exits_1(
    cli: CommandRunner,
) -> None:
    """The first exposure of that name was in the night before."""
    begin = bounds_of(observing_day(time.time()))[0]
    await cli.ledger_builder.exposure(image(1), 1, begin - 60)
    await cli.ledger_builder.refused(image(1), begin + 60)

    answer = await cli.run("night")
    report = (await cli.run("night", "--json")).json

    assert answer.code == 1
    assert f"names used before 1 {image(1)}" in answer.words
    assert "NOT complete" in answer.words
    assert (report["well"], report["refused"]) == (False, [image(1)])
    assert (await cli.run("night", "yesterday")).code == 0


async def test_night_with_a_missed_exposure_is_not_complete_and_exits_1(
    cli: CommandRunner,
) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    await cli.ledger_builder.exposure(image(1), 1, begin + 1)
    transaction = Transaction()
    ImageLedger.record_missed(transaction, [MissedImage(image(2), begin + 1, MissedBy.SCAN)])
    await cli.ledger_builder.write(transaction)

    answer = await cli.run("night")
    report = (await cli.run("night", "--json")).json

    assert answer.code == 1
    assert f"missed 1 {image(2)}" in answer.words
    assert f"NOT complete; ccarchiver catchup {observing_day(time.time())}" in answer.words
    assert (report["well"], report["seen"], report["accepted"]) == (False, 1, 1)
    assert report["missed"] == [image(2)]


async def test_night_names_images_whose_state_cannot_be_read(cli: CommandRunner) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    await cli.ledger_builder.exposure(image(1), 1, begin + 1)
    await cli.redis.hset(keys.image(image(1)), "state", "sideways")

    answer = await cli.run("night")
    report = (await cli.run("night", "--json")).json

    assert answer.code == 1
    assert f"unreadable 1 {image(1)}" in answer.words
    assert "NOT complete; ccarchiver doctor" in answer.words
    assert (report["well"], report["unreadable"]) == (False, [image(1)])


async def test_night_selects_only_exposures_of_that_night(cli: CommandRunner) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    await cli.ledger_builder.exposure(image(1), 1, begin - 1)
    await cli.ledger_builder.exposure(image(2), 2, begin + 1)

    assert (await cli.run("night", "yesterday", "--json")).json["seen"] == 1
    assert (await cli.run("night", "today", "--json")).json["seen"] == 1


async def test_replay_resends_only_the_unfinished_instructions(cli: CommandRunner) -> None:
    await cli.pair()
    ledger_builder, at = cli.ledger_builder, time.time() - AGO_S
    await ledger_builder.exposure(image(1), 1, at)
    await ledger_builder.stalled(image(2), 2, at, Progress.INSTRUCTED)
    await ledger_builder.exposure(image(3), 3, at, Progress.RECEIVED)
    await ledger_builder.exposure(image(4), 4, at, Progress.RETRIEVED)
    await ledger_builder.failed(image(5), 5, at, "refused", 5752)
    await ledger_builder.exposure(image(6), 6, time.time(), Progress.RECEIVED)
    await ledger_builder.exposure(image(7), 7, at, Progress.ASSIGNED)
    before = {number: await read_fields(cli.redis, image(number)) for number in (1, 4, 5, 6, 7)}

    answer = await cli.run("night", "--replay")

    assert answer.code == 1  # for some images it could do nothing
    assert (
        f"{image(2)}: sent again: CC_FWDR_XFER_PARAMS, CC_FWDR_END_READOUT, CC_FWDR_HEADER_READY"
        in answer.words
    )
    assert f"{image(3)}: sent again: NEW_CC_ARCHIVE_ITEM" in answer.words
    assert f"{image(4)}: waits for the OODS" in answer.words
    assert f"{image(5)}: failed: refused" in answer.words
    assert f"{image(7)}: waits for the camera's endReadout: nothing to send again" in answer.words
    assert f"{image(6)}: is in progress: not changed" in answer.words
    assert "2 of 6 unfinished images" in answer.words
    for number, record in before.items():
        assert await read_fields(cli.redis, image(number)) == record
    assert await next_order(cli, image(2)) is Instruction.XFER_PARAMS
    assert await next_order(cli, image(3)) is Instruction.NEW_ITEM
    assert await messages_in(cli.redis, keys.Worker.BRIDGE) == [SessionChanged(session_id=SESSION)]


async def test_replay_with_failed_retries_failed_images(cli: CommandRunner) -> None:
    await cli.pair()
    await cli.ledger_builder.failed(image(5), 5, time.time() - AGO_S, "refused", 5752)

    answer = await cli.run("night", "--replay", "--failed", "--json")

    assert answer.code == 0
    assert answer.json[0]["done"] is True
    assert await next_order(cli, image(5)) is Instruction.NEW_ITEM
    assert await ImageLedger(cli.redis).open_images() == [image(5)]


async def test_replay_without_a_session_is_deferred_to_the_next_start(cli: CommandRunner) -> None:
    await cli.ledger_builder.stalled(image(2), 2, time.time() - AGO_S, Progress.INSTRUCTED)

    answer = await cli.run("night", "--replay")

    assert "when the CSC is started" in answer.words
    assert await messages_in(cli.redis, keys.Worker.BRIDGE) == []


async def test_night_without_exposures_is_reported_as_empty(cli: CommandRunner) -> None:
    answer = await cli.run("night", "2001-01-01")

    assert (answer.code, "no exposure of this night is known" in answer.words) == (0, True)


async def test_night_with_a_date_out_of_range_exits_2(cli: CommandRunner) -> None:
    assert (await cli.run("night", "9999-12-31")).code == 2
    assert (await cli.run("night", "0001-01-01")).code == 2


async def test_failed_without_replay_exits_2(cli: CommandRunner) -> None:
    assert (await cli.run("night", "--failed")).code == 2


async def next_order(cli: CommandRunner, name: str) -> Instruction | None:
    exposure = await read_exposure(cli.redis, name, cli.settings.files_per_image)
    assert exposure is not None
    return exposure.next_instruction(SESSION, EPOCH)


async def test_image_in_progress_is_counted_without_advice(cli: CommandRunner) -> None:
    await cli.ledger_builder.exposure(image(1), 1, time.time(), Progress.RECEIVED)

    answer = await cli.run("night")

    assert answer.code == 1
    assert "NOT complete; in progress: 1" in answer.words
    assert "--replay" not in answer.out


async def test_stalled_image_is_advised_to_be_replayed_with_the_day(cli: CommandRunner) -> None:
    now = time.time()
    await cli.ledger_builder.stalled(image(1), 1, now, Progress.INSTRUCTED)
    await cli.ledger_builder.exposure(image(2), 2, now, Progress.RECEIVED)

    answer = await cli.run("night")

    day = observing_day(now)
    assert f"NOT complete; in progress: 1; ccarchiver night {day} --replay" in answer.words


async def test_unfinished_image_of_a_past_night_is_advised_to_be_replayed(
    cli: CommandRunner,
) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    await cli.ledger_builder.exposure(image(1), 1, begin - 60, Progress.RECEIVED)

    answer = await cli.run("night", "yesterday")

    assert f"NOT complete; ccarchiver night {observing_day(begin - 60)} --replay" in answer.words
