from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction, SentInstruction
from ccarchiver_core.domain.worker_messages import SessionChanged, StatusTopic
from ccarchiver_core.store import ledger
from ccarchiver_core.store.file_status_fields import field_of, value_of
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import mail_in
from tests.support.ledger_builder import SESSION, Way, status_of

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

NAME = "CC_O_20261122_000042"


async def test_a_complete_image_is_told_step_by_step_and_ccd_by_ccd(cli: CommandRunner) -> None:
    await cli.ledger_builder.exposure(NAME, 42, time.time() - 60)

    answer = await cli.types("image", NAME)

    assert answer.code == 0
    at = [
        answer.words.index(step)
        for step in (
            f"{NAME}, job 42",
            "complete",
            "startIntegration heard",
            "NEW_CC_ARCHIVE_ITEM sent",
            "NEW_CC_ARCHIVE_ITEM answered",
            "CC_FWDR_XFER_PARAMS sent",
            "endReadout heard",
            "CC_FWDR_END_READOUT sent",
            "CC_FWDR_HEADER_READY answered",
            "22 S00 retrieved",
            "22 S22 ingested",
        )
    ]
    assert at == sorted(at)
    assert "waits for" not in answer.words


async def test_what_is_missing_and_who_owes_it_is_told(cli: CommandRunner) -> None:
    at = time.time() - 330
    await cli.ledger_builder.stalled(NAME, 1, at, Way.PLACED)
    bad = status_of(NAME, StatusTopic.RETRIEVAL, "22", "S10", code=5611)
    await cli.ledger_builder.write(Transaction().set_fields(keys.image(NAME), {field_of(bad): value_of(bad, at + 1)}))

    answer = await cli.types("image", NAME)
    details = (await cli.types("image", NAME, "--json")).json

    assert answer.code == 1
    assert "the camera's endReadout, since 5 min" in answer.words
    assert "ccarchiver night --replay" in answer.words
    assert "5611 retrieved" in answer.words
    states = {ccd["sensor"]: ccd["state"] for ccd in details["ccds"]}
    assert states["S10"] == "failed"
    assert states["S11"] == "waiting"
    assert details["waiting_on"] == "the camera's endReadout"
    assert details["state"] == "stalled"


async def test_a_failed_image_says_why_and_what_to_do(cli: CommandRunner) -> None:
    await cli.ledger_builder.failed(NAME, 1, time.time() - 60, "the Controller refused the image", 5752)

    answer = await cli.types("image", NAME)

    assert answer.code == 1
    assert "failed 5752: the Controller refused the image" in answer.words
    assert f"ccarchiver image {NAME} --retry" in answer.words


async def test_a_number_is_enough_and_the_others_it_fits_are_named(cli: CommandRunner) -> None:
    now = time.time()
    for days_ago, name in ((2, "CC_O_20261120_000042"), (1, "CC_O_20261121_000042"), (0, NAME)):
        await cli.ledger_builder.exposure(name, 1, now - days_ago * 86400 - 60)
    await cli.ledger_builder.exposure("CC_O_20261122_000142", 2, now - 50)

    by_number = (await cli.types("image", "42", "--json")).json
    by_prefix = (await cli.types("image", "CC_O_20261121", "--json")).json

    assert by_number["image"] == NAME
    assert by_number["others"] == ["CC_O_20261121_000042", "CC_O_20261120_000042"]
    assert by_prefix["image"] == "CC_O_20261121_000042"
    assert NAME not in (await cli.types("image", "142")).out


async def test_an_image_nobody_heard_of(cli: CommandRunner) -> None:
    answer = await cli.types("image", "CC_O_x*")

    assert answer.code == 1
    assert "no image CC_O_x*" in answer.err


async def test_a_retried_image_begins_anew_and_the_bridge_hears_of_it(cli: CommandRunner) -> None:
    await cli.pair()
    await cli.ledger_builder.failed(NAME, 7, time.time() - 60, "refused", 5752)

    answer = await cli.types("image", "42", "--retry")

    assert answer.code == 0
    assert "from the Controller on" in answer.words
    exposure = await ledger.read_exposure(cli.redis, NAME, 9)
    assert exposure is not None
    assert exposure.next_instruction(SESSION, 1) is Instruction.NEW_ITEM
    record = await ledger.read_record(cli.redis, NAME)
    assert not {"failed", "failed_code", "finished", "target_dir"} & set(record)
    assert ledger.age_s(record) < ledger.age_s({"at": record["at"]}), "its waiting begins anew"
    assert await ledger.unfinished(cli.redis) == [NAME]
    assert await mail_in(cli.redis, keys.Worker.BRIDGE) == [SessionChanged(session_id=SESSION)]
    assert SentInstruction.model_validate_json(
        record[Instruction.NEW_ITEM]
    ).ack_id  # what was sent before is still known


async def test_only_a_failed_image_can_be_retried(cli: CommandRunner) -> None:
    await cli.ledger_builder.exposure(NAME, 7, time.time() - 60)

    answer = await cli.types("image", NAME, "--retry")

    assert answer.code == 1
    assert "is complete; only a failed image" in answer.words
    assert (await ledger.read_record(cli.redis, NAME))["state"] == ImageState.COMPLETE


async def test_a_name_that_fits_several_is_not_retried(cli: CommandRunner) -> None:
    for name in ("CC_O_20261122_000001", "CC_O_20261122_000002"):
        await cli.ledger_builder.failed(name, 1, time.time(), "refused", 5752)

    answer = await cli.types("image", "CC_O_", "--retry")

    assert answer.code == 1
    assert "give the whole name" in answer.err
    assert await ledger.unfinished(cli.redis) == []
