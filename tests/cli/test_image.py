from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction, SentInstruction
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.status.images import observing_day
from ccarchiver_core.store.file_status_fields import field_of, value_of
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import messages_in, read_exposure, read_fields
from tests.support.ledger_builder import SESSION, Progress, status_of

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

NAME = "CC_O_20261122_000042"


async def test_complete_image_is_shown_with_its_timeline_and_each_ccd(cli: CommandRunner) -> None:
    await cli.ledger_builder.exposure(NAME, 42, time.time() - 60)

    answer = await cli.run("image", NAME)

    assert answer.code == 0
    at = [
        answer.words.index(entry)
        for entry in (
            f"{NAME}, job 42",
            "complete",
            "startIntegration received",
            "NEW_CC_ARCHIVE_ITEM sent",
            "NEW_CC_ARCHIVE_ITEM answered",
            "CC_FWDR_XFER_PARAMS sent",
            "endReadout received",
            "CC_FWDR_END_READOUT sent",
            "CC_FWDR_HEADER_READY answered",
            "22 S00 retrieved",
            "22 S22 ingested",
        )
    ]
    assert at == sorted(at)
    assert "waits for" not in answer.words


async def test_image_whose_name_was_used_again_shows_the_refused_exposure_and_exits_1(
    cli: CommandRunner,
) -> None:
    at = time.time() - 60
    await cli.ledger_builder.exposure(NAME, 42, at)
    await cli.ledger_builder.refused(NAME, at + 30)

    answer = await cli.run("image", NAME)
    details = (await cli.run("image", NAME, "--json")).json

    assert answer.code == 1
    assert "is not archived: imageIndex is 2 instead of 1" in answer.words
    assert "startIntegration of another exposure received: refused" in answer.words
    assert "correct the camera's numbering" in answer.words
    assert (details["state"], len(details["refused"])) == ("complete", 1)


async def test_unfinished_image_is_shown_with_what_it_waits_for(cli: CommandRunner) -> None:
    at = time.time() - 330
    await cli.ledger_builder.stalled(NAME, 1, at, Progress.ASSIGNED)
    bad = status_of(NAME, StatusTopic.RETRIEVAL, "22", "S10", code=5611)
    await cli.ledger_builder.write(
        Transaction().set_fields(keys.image(NAME), {field_of(bad): value_of(bad, at + 1)})
    )

    answer = await cli.run("image", NAME)
    details = (await cli.run("image", NAME, "--json")).json

    assert answer.code == 1
    assert "the camera's endReadout, since 5 min" in answer.words
    assert f"ccarchiver night {observing_day(at)} --replay" in answer.words
    assert "5611 retrieved" in answer.words
    states = {ccd["sensor"]: ccd["state"] for ccd in details["ccds"]}
    assert states["S10"] == "failed"
    assert states["S11"] == "waiting"
    assert details["waiting_on"] == "the camera's endReadout"
    assert details["state"] == "stalled"


async def test_failed_image_is_shown_with_reason_and_remedy(cli: CommandRunner) -> None:
    await cli.ledger_builder.failed(
        NAME, 1, time.time() - 60, "the Controller rejected the image", 5752
    )

    answer = await cli.run("image", NAME)

    assert answer.code == 1
    assert "failed 5752: the Controller rejected the image" in answer.words
    assert f"ccarchiver image {NAME} --retry" in answer.words


async def test_image_number_or_prefix_finds_the_newest_and_names_other_matches(
    cli: CommandRunner,
) -> None:
    now = time.time()
    for days_ago, name in ((2, "CC_O_20261120_000042"), (1, "CC_O_20261121_000042"), (0, NAME)):
        await cli.ledger_builder.exposure(name, 1, now - days_ago * 86400 - 60)
    await cli.ledger_builder.exposure("CC_O_20261122_000142", 2, now - 50)

    by_number = (await cli.run("image", "42", "--json")).json
    by_prefix = (await cli.run("image", "CC_O_20261121", "--json")).json

    assert by_number["image"] == NAME
    assert by_number["others"] == ["CC_O_20261121_000042", "CC_O_20261120_000042"]
    assert by_prefix["image"] == "CC_O_20261121_000042"
    assert NAME not in (await cli.run("image", "142")).out


async def test_unknown_image_exits_1_with_a_message(cli: CommandRunner) -> None:
    answer = await cli.run("image", "CC_O_x*")

    assert answer.code == 1
    assert "no image CC_O_x*" in answer.err


async def test_retry_restarts_a_failed_image_and_notifies_the_bridge(cli: CommandRunner) -> None:
    await cli.pair()
    await cli.ledger_builder.failed(NAME, 7, time.time() - 60, "refused", 5752)

    answer = await cli.run("image", "42", "--retry")

    assert answer.code == 0
    assert "starts again from the Controller" in answer.words
    exposure = await read_exposure(cli.redis, NAME, 9)
    assert exposure is not None
    assert exposure.next_instruction(SESSION, 1) is Instruction.NEW_ITEM
    record = await read_fields(cli.redis, NAME)
    assert not {"failed", "failed_code", "finished", "target_dir"} & set(record)
    image = await ImageLedger(cli.redis).read(NAME)
    assert image is not None
    assert image.age_s < time.time() - image.first_seen_at, "the waiting time restarts"
    assert await ImageLedger(cli.redis).open_images() == [NAME]
    assert await messages_in(cli.redis, keys.Worker.BRIDGE) == [SessionChanged(session_id=SESSION)]
    # The ACK_ID of the sent instruction is kept.
    assert SentInstruction.model_validate_json(record[Instruction.NEW_ITEM]).ack_id


async def test_retry_of_an_image_that_has_not_failed_is_rejected(cli: CommandRunner) -> None:
    await cli.ledger_builder.exposure(NAME, 7, time.time() - 60)

    answer = await cli.run("image", NAME, "--retry")

    assert answer.code == 1
    assert "is complete; only a failed image" in answer.words
    assert (await read_fields(cli.redis, NAME))["state"] == ImageState.COMPLETE


async def test_retry_with_an_ambiguous_name_is_rejected(cli: CommandRunner) -> None:
    for name in ("CC_O_20261122_000001", "CC_O_20261122_000002"):
        await cli.ledger_builder.failed(name, 1, time.time(), "refused", 5752)

    answer = await cli.run("image", "CC_O_", "--retry")

    assert answer.code == 1
    assert "give the whole name" in answer.err
    assert await ImageLedger(cli.redis).open_images() == []


@pytest.mark.parametrize("name", ["", "  ", "\udcff"])
@pytest.mark.parametrize("options", [(), ("--retry",), ("--json",)])
async def test_empty_or_undecodable_name_exits_2_and_names_what_to_type(
    cli: CommandRunner, name: str, options: tuple[str, ...]
) -> None:
    await cli.ledger_builder.exposure(NAME, 42, time.time() - 60)

    answer = await cli.run("image", name, *options)

    assert (answer.code, answer.out) == (2, "")
    assert "type the name or the number of an image" in answer.err_words


async def test_missing_name_exits_2(cli: CommandRunner) -> None:
    answer = await cli.run("image")

    assert answer.code == 2
    assert "Missing argument 'NAME'" in answer.err_words
