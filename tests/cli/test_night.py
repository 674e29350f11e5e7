from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.status.images import bounds_of, observing_day
from ccarchiver_core.store import ledger
from ccarchiver_core.store.ledger import ImageState
from tests.core.redis_helpers import mail_in
from tests.support.ledger_builder import EPOCH, SESSION, Way

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

AGO_S = 60.0
"""Age of the exposures here: long enough for none of them to count as under way."""


def image(number: int) -> str:
    return f"CC_O_20261122_{number:06d}"


async def test_a_complete_night_is_well(cli: CommandRunner) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    for number in (1, 2, 3):
        await cli.ledger_builder.exposure(image(number), number, begin + number)

    answer = await cli.types("night")

    assert answer.code == 0
    assert "images seen 3" in answer.words
    assert "files expected 27" in answer.words
    assert "complete: nothing is missing" in answer.words
    assert "50 % within" in answer.words


async def test_all_that_is_missing_is_counted_and_named(cli: CommandRunner) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    ledger_builder = cli.ledger_builder
    await ledger_builder.exposure(image(1), 1, begin + 1)
    await ledger_builder.exposure(image(2), 2, begin + 2, Way.COMPLETE, files=4)
    await ledger_builder.stalled(image(3), 3, begin + 3, Way.PLACED)
    await ledger_builder.failed(image(4), 4, begin + 4, "refused", 5752)
    await ledger_builder.outsider(image(8), begin + 5, ImageState.SKIPPED)

    answer = await cli.types("night")
    report = (await cli.types("night", "--json")).json

    assert answer.code == 1
    assert f"5752 1 no usable answer to ASSOCIATED, NEW_CC_ARCHIVE_ITEM or CC_FWDR_XFER_PARAMS: {image(4)}" in (
        answer.words
    )
    assert f"{image(5)} to {image(7)}" in answer.words
    assert "NOT complete" in answer.words
    assert report["well"] is False
    assert report["seen"] == 5
    assert report["unfinished"] == [image(2), image(3)]
    assert report["stalled"] == [image(3)]
    assert report["failed"] == {"5752": [image(4)]}
    assert report["skipped"] == [image(8)]
    assert report["gaps"] == [{"first": image(5), "last": image(7), "count": 3}]
    assert (report["files_expected"], report["files_retrieved"], report["files_ingested"]) == (36, 18, 13)


async def test_a_night_before_is_its_own(cli: CommandRunner) -> None:
    begin = bounds_of(observing_day(time.time()))[0]
    await cli.ledger_builder.exposure(image(1), 1, begin - 1)
    await cli.ledger_builder.exposure(image(2), 2, begin + 1)

    assert (await cli.types("night", "yesterday", "--json")).json["seen"] == 1
    assert (await cli.types("night", "today", "--json")).json["seen"] == 1


async def test_replay_has_the_unfinished_orders_sent_again_and_nothing_else(cli: CommandRunner) -> None:
    await cli.pair()
    ledger_builder, at = cli.ledger_builder, time.time() - AGO_S
    await ledger_builder.exposure(image(1), 1, at)
    await ledger_builder.stalled(image(2), 2, at, Way.TOLD)
    await ledger_builder.exposure(image(3), 3, at, Way.HEARD)
    await ledger_builder.exposure(image(4), 4, at, Way.RETRIEVED)
    await ledger_builder.failed(image(5), 5, at, "refused", 5752)
    await ledger_builder.exposure(image(6), 6, time.time(), Way.HEARD)
    await ledger_builder.exposure(image(7), 7, at, Way.PLACED)
    before = {number: await ledger.read_record(cli.redis, image(number)) for number in (1, 4, 5, 6, 7)}

    answer = await cli.types("night", "--replay")

    assert answer.code == 1  # there are some it could do nothing for
    assert f"{image(2)}: sent again: CC_FWDR_XFER_PARAMS, CC_FWDR_END_READOUT, CC_FWDR_HEADER_READY" in answer.words
    assert f"{image(3)}: sent again: NEW_CC_ARCHIVE_ITEM" in answer.words
    assert f"{image(4)}: waits for the OODS" in answer.words
    assert f"{image(5)}: failed: refused" in answer.words
    assert f"{image(7)}: waits for the camera's endReadout: no message" in answer.words
    assert f"{image(6)}: is under way: left alone" in answer.words
    assert "2 of 6 unfinished images" in answer.words
    for number, record in before.items():
        assert await ledger.read_record(cli.redis, image(number)) == record
    assert await next_order(cli, image(2)) is Instruction.XFER_PARAMS
    assert await next_order(cli, image(3)) is Instruction.NEW_ITEM
    assert await mail_in(cli.redis, keys.Worker.BRIDGE) == [SessionChanged(session_id=SESSION)]


async def test_replay_tries_failed_images_again_when_told(cli: CommandRunner) -> None:
    await cli.pair()
    await cli.ledger_builder.failed(image(5), 5, time.time() - AGO_S, "refused", 5752)

    answer = await cli.types("night", "--replay", "--failed", "--json")

    assert answer.code == 0
    assert answer.json[0]["done"] is True
    assert await next_order(cli, image(5)) is Instruction.NEW_ITEM
    assert await ledger.unfinished(cli.redis) == [image(5)]


async def test_replay_without_a_session_waits_for_the_next(cli: CommandRunner) -> None:
    await cli.ledger_builder.stalled(image(2), 2, time.time() - AGO_S, Way.TOLD)

    answer = await cli.types("night", "--replay")

    assert "when the CSC is started" in answer.words
    assert await mail_in(cli.redis, keys.Worker.BRIDGE) == []


async def test_a_night_nobody_took_an_exposure_in_is_told_as_that(cli: CommandRunner) -> None:
    answer = await cli.types("night", "2001-01-01")

    assert (answer.code, "no exposure of this night was heard of" in answer.words) == (0, True)


async def test_a_day_beyond_the_calendar_is_wrong_use(cli: CommandRunner) -> None:
    assert (await cli.types("night", "9999-12-31")).code == 2
    assert (await cli.types("night", "0001-01-01")).code == 2


async def test_failed_alone_is_wrong_use(cli: CommandRunner) -> None:
    assert (await cli.types("night", "--failed")).code == 2


async def next_order(cli: CommandRunner, name: str) -> Instruction | None:
    exposure = await ledger.read_exposure(cli.redis, name, cli.settings.files_per_image)
    assert exposure is not None
    return exposure.next_instruction(SESSION, EPOCH)
