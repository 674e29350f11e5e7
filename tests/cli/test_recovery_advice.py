"""Skipped and missed images: each command names what finds them, or archives them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.status.images import observing_day
from ccarchiver_core.store.scans import ScanState
from tests.cli.test_catchup import miss

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

ASK = "ccarchiver catchup --now"
NAME = "CC_O_20261122_000001"


async def skip_image(cli: CommandRunner, at: float) -> None:
    """Record an image that was taken while the CSC was not ENABLED."""
    await cli.ledger_builder.unaccepted(NAME, at, ImageState.SKIPPED)


async def write_answered_scan(cli: CommandRunner, sent_at: float) -> None:
    """Record a scan that was sent at a Unix time and answered."""
    await cli.redis.hset(
        keys.SCAN,
        mapping={
            "number": 1,
            "state": ScanState.ANSWERED,
            "sent_at": sent_at,
            "finished_at": sent_at,
        },
    )


async def test_each_command_names_the_scan_that_finds_a_skipped_image(cli: CommandRunner) -> None:
    at = time.time() - 1.0
    day = observing_day(at)
    await write_answered_scan(cli, at - 60)
    await skip_image(cli, at)

    catchup = await cli.run("catchup")
    image = await cli.run("image", NAME)
    night = await cli.run("night", day.isoformat())
    view = await cli.run("night", day.isoformat(), "--json")
    report = await cli.run("catchup", "--json")

    assert catchup.code == 0
    assert "1 skipped, and no scan has been answered since" in catchup.words
    assert ASK in catchup.words
    assert ASK in image.words
    assert night.words.endswith(f"NOT complete; ccarchiver catchup {day} --now")
    assert [row["command"] for row in view.json["missing"]] == [f"ccarchiver catchup {day} --now"]
    assert report.json["unscanned"] == [NAME]


async def test_no_command_asks_again_after_a_scan_that_has_not_listed_the_image(
    cli: CommandRunner,
) -> None:
    at = time.time() - 60.0
    day = observing_day(at).isoformat()
    await skip_image(cli, at)
    await write_answered_scan(cli, at + 30)

    answers = [await cli.run(*words) for words in (("catchup",), ("image", NAME), ("night", day))]

    assert [answer.out for answer in answers if "--now" in answer.words] == []
    assert "no scan has listed the image" in answers[1].words


@pytest.mark.parametrize(
    ("age_s", "command"),
    [
        (60.0, f"ccarchiver catchup {NAME} archives it"),
        (3 * 86400.0, f"ccarchiver catchup {NAME} --dismiss --reason TEXT"),
    ],
)
async def test_remedy_of_a_missed_image_is_a_command_with_its_name(
    cli: CommandRunner, age_s: float, command: str
) -> None:
    await miss(cli, MissedImage(NAME, time.time() - age_s, MissedBy.SCAN))

    answer = await cli.run("image", NAME)

    assert command in answer.words


async def test_image_older_than_the_scan_window_is_not_searched_for(cli: CommandRunner) -> None:
    await skip_image(cli, time.time() - cli.settings.scan_window - 60)

    assert ASK not in (await cli.run("catchup")).words
    assert ASK not in (await cli.run("image", NAME)).words


async def test_no_command_names_a_scan_if_catch_up_is_off(cli: CommandRunner) -> None:
    await skip_image(cli, time.time() - 1.0)
    path = cli.folder / "ccarchiver_config.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("ROOT:", "ROOT:\n  CATCH_UP: off", 1), encoding="utf-8")

    assert ASK not in (await cli.run("catchup")).words
    assert ASK not in (await cli.run("image", NAME)).words
