"""``ccarchiver catchup NAME…``: named missed images are archived, all or none."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli import catchup_wait
from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import StartIntegration
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.worker_messages import RequestScan
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import ScanState
from ccarchiver_core.store.transaction import Transaction
from tests.cli.test_catchup import DAY_S, miss, write_scan
from tests.core.redis_helpers import eventually, messages_in
from tests.support.ledger_builder import SESSION, Progress

if TYPE_CHECKING:
    from ccarchiver_core.domain.exposure import ExposureEvent
    from tests.cli.cli_runner import CommandRunner

ENABLED, STANDBY = 2, 5


async def requested(cli: CommandRunner) -> list[str]:
    """Return the images whose archiving is requested."""
    return await ImageLedger(cli.redis).requested_images()


async def ready(cli: CommandRunner, state: int = ENABLED) -> None:
    """Write a pairing, a heartbeat of health and the state of the CSC."""
    await cli.pair()
    await cli.write_heartbeats(keys.Worker.HEALTH)
    await cli.csc(state)


async def accept(cli: CommandRunner, obsid: str, job: int, *events: ExposureEvent) -> None:
    """Accept a missed image as the CSC does."""
    transaction = Transaction()
    ImageLedger.accept_missed(transaction, obsid, job=job, session_id=SESSION, events=events)
    await cli.ledger_builder.write(transaction)


async def finish(cli: CommandRunner, obsid: str, state: ImageState) -> None:
    """Record the end of an image."""
    transaction = Transaction()
    ImageLedger.finish(transaction, obsid, state)
    await cli.ledger_builder.write(transaction)


async def test_named_images_are_requested_in_the_sequence_of_the_names(cli: CommandRunner) -> None:
    now = time.time()
    await miss(
        cli,
        MissedImage("CC_1", now - 90, MissedBy.SCAN),
        MissedImage("CC_2", now - 60, MissedBy.NUMBERS),
        MissedImage("CC_3", now - 30, MissedBy.SCAN),
    )

    answer = await cli.run("catchup", "CC_3", "CC_2", "CC_3", "--no-wait")
    listed = await cli.run("catchup")

    assert answer.code == 0
    assert "CC_3: is archived as soon as no exposure is in progress" in answer.words
    assert await requested(cli) == ["CC_3", "CC_2"]
    assert "the Forwarder has listed it; archiving requested" in listed.words
    assert "archiving requested by an operator" in (await cli.run("image", "CC_3")).words


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CC_9", "is not in the ledger"),
        ("archived", "is complete, not missed"),
        ("skipped", "is skipped, not missed; ccarchiver catchup --now asks the Forwarder"),
        ("old", "is older than 48 h"),
        ("../x", "the image name '../x' is rejected"),
        ("CC_*", "the image name 'CC_*' is rejected"),
    ],
)
async def test_nothing_is_requested_if_one_name_is_declined(
    cli: CommandRunner, name: str, reason: str
) -> None:
    now = time.time()
    await ready(cli)
    await cli.ledger_builder.exposure("archived", 1, now - 100)
    await cli.ledger_builder.unaccepted("skipped", now - 100, ImageState.SKIPPED)
    await miss(
        cli,
        MissedImage("CC_1", now - 90, MissedBy.SCAN),
        MissedImage("old", now - 3 * DAY_S, MissedBy.SCAN),
    )

    answer = await cli.run("catchup", "CC_1", name)

    assert answer.code == 1
    assert reason in answer.words
    assert "CC_1: not changed, because another name is declined" in answer.words
    assert await requested(cli) == []


async def test_name_of_another_night_is_declined(cli: CommandRunner) -> None:
    await miss(cli, MissedImage("CC_1", time.time() - DAY_S, MissedBy.SCAN))

    answer = await cli.run("catchup", "today", "CC_1", "--no-wait", "--json")

    assert answer.code == 1
    assert answer.json == [{"image": "CC_1", "done": False, "text": "is of another night"}]
    assert await requested(cli) == []


async def test_dry_run_only_checks_the_names(cli: CommandRunner) -> None:
    await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))

    answer = await cli.run("catchup", "CC_1", "--dry-run")

    assert (answer.code, answer.words) == (0, "CC_1: can be archived")
    assert await requested(cli) == []


async def test_image_that_the_requested_scan_finds_is_archived(cli: CommandRunner) -> None:
    await ready(cli)

    async def play_health() -> None:
        async def is_requested() -> bool:
            return RequestScan() in await messages_in(cli.redis, keys.Worker.HEALTH)

        await eventually(is_requested, "RequestScan")
        await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))
        await write_scan(cli, 1, ScanState.ANSWERED)

    health = asyncio.create_task(play_health())
    answer = await cli.run("catchup", "--now", "CC_1", "--no-wait")
    await health

    assert answer.code == 0
    assert await requested(cli) == ["CC_1"]


@pytest.mark.parametrize("words", [("",), ("CC_1", " ")])
async def test_empty_name_is_a_usage_error(cli: CommandRunner, words: tuple[str, ...]) -> None:
    await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))

    answer = await cli.run("catchup", *words)

    assert answer.code == 2
    assert "it is empty; ccarchiver catchup lists the missed images" in answer.err_words
    assert await requested(cli) == []


async def test_invalid_date_is_no_name(cli: CommandRunner) -> None:
    answer = await cli.run("catchup", "2026-13-01")

    assert answer.code == 2
    assert "is not a date" in answer.err_words


async def test_names_are_declined_if_catch_up_is_off(cli: CommandRunner) -> None:
    await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))
    path = cli.folder / "ccarchiver_config.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("ROOT:", "ROOT:\n  CATCH_UP: off", 1), encoding="utf-8")

    answer = await cli.run("catchup", "CC_1")

    assert answer.code == 1
    assert "CATCH_UP is off in the site file" in answer.words


async def test_wait_ends_when_all_named_images_have_ended(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup_wait, "POLL_INTERVAL_S", 0.05)
    now = time.time()
    await ready(cli)
    await cli.ledger_builder.exposure("live", 1, now, Progress.INSTRUCTED)
    await miss(
        cli,
        MissedImage("CC_1", now - 90, MissedBy.SCAN),
        MissedImage("CC_2", now - 60, MissedBy.SCAN),
    )

    async def archive() -> None:
        async def is_requested() -> bool:
            return len(await requested(cli)) == 2

        await eventually(is_requested, "the request")
        await accept(cli, "CC_1", 2)
        await finish(cli, "CC_1", ImageState.COMPLETE)
        await accept(cli, "CC_2", 3)
        await finish(cli, "CC_2", ImageState.FAILED)

    archiving = asyncio.create_task(archive())
    answer = await cli.run("catchup", "CC_1", "CC_2")
    await archiving

    assert answer.code == 1
    assert "1 of 2 images are archived" in answer.words
    assert "CC_2: is failed; ccarchiver image CC_2" in answer.words
    assert "CC_1 complete" in answer.words
    assert await requested(cli) == []


async def test_wait_for_the_catch_up_of_another_image_names_its_limit(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup_wait, "POLL_INTERVAL_S", 0.05)
    now = time.time()
    await ready(cli)
    await miss(
        cli,
        MissedImage("CC_1", now - 90, MissedBy.SCAN),
        MissedImage("CC_2", now - 60, MissedBy.SCAN),
    )
    start = StartIntegration(
        image_name="CC_1", image_index=0, images_in_sequence=0, image_date="", exposure_time=0.0
    )
    await accept(cli, "CC_1", 2, start)
    shown: list[str] = []

    def show(progress: catchup_wait.WaitProgress) -> None:
        shown.append(progress.waits_for)

    waiting = asyncio.create_task(
        catchup_wait.wait_until_archived(cli.redis, cli.settings, ["CC_2"], show)
    )

    async def is_shown() -> bool:
        return bool(shown)

    await eventually(is_shown, "what is waited for")
    await accept(cli, "CC_2", 3)
    await finish(cli, "CC_2", ImageState.COMPLETE)
    await waiting

    assert shown[0] == (
        "the catch-up of CC_1; without progress it ends after 5 min 0 s (STALLED_AFTER)"
    )


async def test_wait_for_all_ends_at_once_if_nothing_can_be_archived(cli: CommandRunner) -> None:
    report = await cli.run("catchup", "--wait")
    path = cli.folder / "ccarchiver_config.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("ROOT:", "ROOT:\n  CATCH_UP: automatic", 1), encoding="utf-8")
    automatic = await cli.run("catchup", "--wait")

    assert report.code == 1
    assert "CATCH_UP is report, so no image is archived unless it is named" in report.err_words
    assert (automatic.code, automatic.words) == (0, "0 of 0 images are archived")


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ("health", "ccarchiver:health is down"),
        ("state", "the CSC is STANDBY; it is archived when the CSC is ENABLED"),
        ("pairing", "no Forwarder is paired"),
    ],
)
async def test_wait_ends_at_once_if_the_archiving_is_not_possible_now(
    cli: CommandRunner, lacking: str, reason: str
) -> None:
    if lacking != "pairing":
        await cli.pair()
    if lacking != "health":
        await cli.write_heartbeats(keys.Worker.HEALTH)
    await cli.csc(STANDBY if lacking == "state" else ENABLED)
    await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))

    answer = await cli.run("catchup", "CC_1", "--json")

    assert answer.code == 1
    [result] = answer.json
    assert f"is not archived yet: {reason}" in result["text"]
    assert await requested(cli) == ["CC_1"]
