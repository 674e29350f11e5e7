"""``ccarchiver catchup --dismiss NAME…``: missed images that will never be archived."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.status.images import observing_day
from ccarchiver_core.status.overview import collect
from ccarchiver_core.store.image_ledger import ImageLedger
from tests.cli.test_catchup import DAY_S, miss
from tests.core.redis_helpers import counter

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

WHY = "--reason=a test of the shutter"


async def test_night_is_complete_and_the_alarm_ends_after_a_dismissal(cli: CommandRunner) -> None:
    now = time.time()
    night = observing_day(now).isoformat()
    await cli.ledger_builder.unaccepted("CC_2", now, ImageState.SKIPPED)
    await cli.redis.hset(keys.image("CC_2"), "at:startIntegration", now)
    await miss(
        cli,
        MissedImage("CC_1", now, MissedBy.SCAN),
        MissedImage("CC_2", now, MissedBy.SCAN, was_skipped=True),
    )
    before = await cli.run("night", night)

    answer = await cli.run("catchup", "--dismiss", "CC_1", "CC_2", WHY)
    after = await cli.run("night", night)
    image = await cli.run("image", "CC_1")
    listed = await cli.run("images", "--state", "dismissed")
    overview = await collect(cli.redis, cli.settings)

    assert (before.code, answer.code, after.code, image.code) == (1, 0, 0, 0)
    assert "CC_1: is dismissed: it no longer counts as missing" in answer.words
    assert "dismissed 2 CC_1, CC_2" in after.words
    assert "complete: nothing is missing" in after.words
    assert "dismissed by an operator" in image.words
    assert "a test of the shutter" in image.words
    assert "a test of the shutter" in listed.words
    assert overview.missed.count == 0
    assert (await cli.run("catchup")).code == 0
    assert await counter(cli.redis, "images_dismissed") == 2


async def test_repeated_dismissal_changes_only_the_reason(cli: CommandRunner) -> None:
    await miss(cli, MissedImage("CC_1", time.time() - 3 * DAY_S, MissedBy.SCAN))
    await cli.run("catchup", "--dismiss", "CC_1", WHY)

    again = await cli.run("catchup", "--dismiss", "CC_1", "--reason", "another")

    assert again.code == 0
    record = await ImageLedger(cli.redis).read("CC_1")
    assert record is not None
    assert (record.state, record.dismissal) == (ImageState.DISMISSED, "another")
    assert await counter(cli.redis, "images_dismissed") == 1


async def test_dismissed_image_that_is_named_is_missed_and_requested_again(
    cli: CommandRunner,
) -> None:
    await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))
    await cli.run("catchup", "--dismiss", "CC_1", WHY)

    answer = await cli.run("catchup", "CC_1", "--no-wait")

    assert answer.code == 0
    ledger = ImageLedger(cli.redis)
    assert await ledger.missed_images() == ["CC_1"]
    assert await ledger.requested_images() == ["CC_1"]
    assert "archiving requested" in (await cli.run("catchup")).words


async def test_dismissal_ends_a_request(cli: CommandRunner) -> None:
    await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))
    await cli.run("catchup", "CC_1", "--no-wait")

    await cli.run("catchup", "--dismiss", "CC_1", WHY)

    assert await ImageLedger(cli.redis).requested_images() == []


async def test_nothing_is_dismissed_if_one_name_is_declined(cli: CommandRunner) -> None:
    now = time.time()
    await cli.ledger_builder.exposure("archived", 1, now - 100)
    await miss(cli, MissedImage("CC_1", now - 60, MissedBy.SCAN))

    answer = await cli.run("catchup", "--dismiss", "CC_1", "archived", "CC_9", WHY)
    checked = await cli.run("catchup", "--dismiss", "CC_1", WHY, "--dry-run")

    assert answer.code == 1
    assert "archived: is complete, not missed" in answer.words
    assert "CC_9: is not in the ledger" in answer.words
    assert (checked.code, checked.words) == (0, "CC_1: can be dismissed")
    assert await ImageLedger(cli.redis).missed_images() == ["CC_1"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("CC_1", "--dismiss"), "write why the images will not be archived"),
        (("CC_1", "--dismiss", "--reason= "), "write why the images will not be archived"),
        (("--dismiss", WHY), "--dismiss needs the names of images"),
        (("CC_1", WHY), "--reason is only valid together with --dismiss"),
        (("CC_1", "--dismiss", WHY, "--now"), "cannot be combined with --now or --wait"),
        (("CC_1", "--dismiss", f"--reason={'x' * 501}"), "501 characters, more than 500"),
    ],
)
async def test_incomplete_dismissal_is_a_usage_error(
    cli: CommandRunner, words: tuple[str, ...], error: str
) -> None:
    answer = await cli.run("catchup", *words)

    assert answer.code == 2
    assert error in answer.err_words
