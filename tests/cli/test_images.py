from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.image_record import ImageState
from tests.support.ledger_builder import Progress

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

DAY = 86400.0


async def fill(cli: CommandRunner) -> None:
    now, ledger_builder = time.time(), cli.ledger_builder
    await ledger_builder.exposure("old", 1, now - 3 * DAY)
    await ledger_builder.exposure("complete", 2, now - 60)
    await ledger_builder.exposure("accepted", 3, now - 50, Progress.INSTRUCTED)
    await ledger_builder.stalled("stalled", 4, now - 40, Progress.RECEIVED)
    await ledger_builder.failed("failed", 5, now - 30, "the Controller refused it", 5752)
    await ledger_builder.unaccepted("skipped", now - 20, ImageState.SKIPPED)
    await ledger_builder.unaccepted("unannounced", now - 10, ImageState.UNANNOUNCED)


async def test_images_lists_the_newest_images_in_order_of_time(cli: CommandRunner) -> None:
    await fill(cli)

    answer = await cli.run("images", "--json", "--last", "3")

    assert answer.code == 0
    assert [line["image"] for line in answer.json] == ["failed", "skipped", "unannounced"]


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("open", ["accepted", "stalled"]),
        ("stalled", ["stalled"]),
        ("complete", ["old", "complete"]),
        ("skipped", ["skipped"]),
        ("failed", ["failed"]),
        ("unannounced", ["unannounced"]),
    ],
)
async def test_images_filters_by_state(cli: CommandRunner, state: str, names: list[str]) -> None:
    await fill(cli)

    answer = await cli.run("images", "--state", state, "--json")

    assert [line["image"] for line in answer.json] == names


async def test_images_limits_the_number_after_filtering_by_state(cli: CommandRunner) -> None:
    await fill(cli)

    answer = await cli.run("images", "--state", "complete", "--last", "1", "--json")

    assert [line["image"] for line in answer.json] == ["complete"]


async def test_images_filters_by_night(cli: CommandRunner) -> None:
    await fill(cli)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 3 * DAY - DAY / 2))

    answer = await cli.run("images", "--night", day, "--json")

    assert [line["image"] for line in answer.json] == ["old"]


async def test_images_shows_what_an_image_waits_for_or_why_it_failed(cli: CommandRunner) -> None:
    await fill(cli)

    answer = await cli.run("images")

    assert "waits for the Forwarder: 0 of 9 files retrieved" in answer.words
    assert "the Controller refused it" in answer.words
    assert "9+9" in answer.words


async def test_images_with_an_invalid_date_exits_2(cli: CommandRunner) -> None:
    answer = await cli.run("images", "--night", "tonight")

    assert answer.code == 2
    assert "'tonight' is not a date" in " ".join(answer.err.replace("│", " ").split())


async def test_images_with_too_large_a_number_exits_2(cli: CommandRunner) -> None:
    assert (await cli.run("images", "--last", str(10**19))).code == 2
