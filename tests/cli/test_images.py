from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.ledger import ImageState
from tests.support.scribe import Way

if TYPE_CHECKING:
    from tests.cli.operator import Operator

DAY = 86400.0


async def fill(operator: Operator) -> None:
    now, scribe = time.time(), operator.scribe
    await scribe.exposure("old", 1, now - 3 * DAY)
    await scribe.exposure("complete", 2, now - 60)
    await scribe.exposure("accepted", 3, now - 50, Way.TOLD)
    await scribe.stalled("stalled", 4, now - 40, Way.HEARD)
    await scribe.failed("failed", 5, now - 30, "the Controller refused it", 5752)
    await scribe.outsider("skipped", now - 20, ImageState.SKIPPED)
    await scribe.outsider("foreign", now - 10, ImageState.FOREIGN)


async def test_the_newest_images_are_listed_the_newest_last(operator: Operator) -> None:
    await fill(operator)

    answer = await operator.types("images", "--json", "--last", "3")

    assert answer.code == 0
    assert [line["image"] for line in answer.json] == ["failed", "skipped", "foreign"]


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("open", ["accepted", "stalled"]),
        ("stalled", ["stalled"]),
        ("complete", ["old", "complete"]),
        ("skipped", ["skipped"]),
        ("failed", ["failed"]),
        ("foreign", ["foreign"]),
    ],
)
async def test_only_those_of_a_state(operator: Operator, state: str, names: list[str]) -> None:
    await fill(operator)

    answer = await operator.types("images", "--state", state, "--json")

    assert [line["image"] for line in answer.json] == names


async def test_the_newest_of_a_state(operator: Operator) -> None:
    await fill(operator)

    answer = await operator.types("images", "--state", "complete", "--last", "1", "--json")

    assert [line["image"] for line in answer.json] == ["complete"]


async def test_only_those_of_a_night(operator: Operator) -> None:
    await fill(operator)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 3 * DAY - DAY / 2))

    answer = await operator.types("images", "--night", day, "--json")

    assert [line["image"] for line in answer.json] == ["old"]


async def test_a_line_says_who_is_waited_for_and_why_it_failed(operator: Operator) -> None:
    await fill(operator)

    answer = await operator.types("images")

    assert "waits for the Forwarder: 0 of 9 files retrieved" in answer.words
    assert "the Controller refused it" in answer.words
    assert "9+9" in answer.words


async def test_a_date_that_is_none_is_wrong_use(operator: Operator) -> None:
    answer = await operator.types("images", "--night", "tonight")

    assert answer.code == 2
    assert "'tonight' is no date" in " ".join(answer.err.replace("│", " ").split())


async def test_more_than_any_ledger_holds_is_wrong_use(operator: Operator) -> None:
    assert (await operator.types("images", "--last", str(10**19))).code == 2
