from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.store.ledger import ImageState
from tests.support.ledger_builder import Way

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

DAY = 86400.0


async def fill(cli: CommandRunner) -> None:
    now, ledger_builder = time.time(), cli.ledger_builder
    await ledger_builder.exposure("old", 1, now - 3 * DAY)
    await ledger_builder.exposure("complete", 2, now - 60)
    await ledger_builder.exposure("accepted", 3, now - 50, Way.TOLD)
    await ledger_builder.stalled("stalled", 4, now - 40, Way.HEARD)
    await ledger_builder.failed("failed", 5, now - 30, "the Controller refused it", 5752)
    await ledger_builder.outsider("skipped", now - 20, ImageState.SKIPPED)
    await ledger_builder.outsider("unannounced", now - 10, ImageState.UNANNOUNCED)


async def test_the_newest_images_are_listed_the_newest_last(cli: CommandRunner) -> None:
    await fill(cli)

    answer = await cli.types("images", "--json", "--last", "3")

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
async def test_only_those_of_a_state(cli: CommandRunner, state: str, names: list[str]) -> None:
    await fill(cli)

    answer = await cli.types("images", "--state", state, "--json")

    assert [line["image"] for line in answer.json] == names


async def test_the_newest_of_a_state(cli: CommandRunner) -> None:
    await fill(cli)

    answer = await cli.types("images", "--state", "complete", "--last", "1", "--json")

    assert [line["image"] for line in answer.json] == ["complete"]


async def test_only_those_of_a_night(cli: CommandRunner) -> None:
    await fill(cli)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 3 * DAY - DAY / 2))

    answer = await cli.types("images", "--night", day, "--json")

    assert [line["image"] for line in answer.json] == ["old"]


async def test_a_line_says_who_is_waited_for_and_why_it_failed(cli: CommandRunner) -> None:
    await fill(cli)

    answer = await cli.types("images")

    assert "waits for the Forwarder: 0 of 9 files retrieved" in answer.words
    assert "the Controller refused it" in answer.words
    assert "9+9" in answer.words


async def test_a_date_that_is_none_is_wrong_use(cli: CommandRunner) -> None:
    answer = await cli.types("images", "--night", "tonight")

    assert answer.code == 2
    assert "'tonight' is no date" in " ".join(answer.err.replace("│", " ").split())


async def test_more_than_any_ledger_holds_is_wrong_use(cli: CommandRunner) -> None:
    assert (await cli.types("images", "--last", str(10**19))).code == 2
