"""``ccarchiver catchup``: missed exposures, and a scan on request."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from ccarchiver_cli import scanning
from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.worker_messages import RequestScan
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import ScanState
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import eventually, messages_in
from tests.support.ledger_builder import Progress

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner

DAY_S = 86_400.0


async def miss(cli: CommandRunner, *images: MissedImage) -> None:
    """Record images as missed, as health does."""
    transaction = Transaction()
    ImageLedger.record_missed(transaction, images)
    await cli.ledger_builder.write(transaction)


async def write_scan(cli: CommandRunner, number: int, state: ScanState) -> None:
    """Write the record of a scan, as health does."""
    now = time.time()
    await cli.redis.hset(
        keys.SCAN,
        mapping={
            "number": number,
            "state": state,
            "hostname": "fwd1",
            "finished_at": now - 130,
            "sent_at": now - 130,
            "requested_at": now - 130,
            "names": 34,
            "of_other_cameras": 2,
            "rejected": 1,
            "unread": 7,
        },
    )


async def test_missed_exposures_are_listed_and_are_exit_code_1(cli: CommandRunner) -> None:
    now = time.time()
    await cli.ledger_builder.unaccepted("skipped", now - 50, ImageState.SKIPPED)
    await cli.redis.hset(keys.image("skipped"), "at:startIntegration", now - 50)
    await miss(
        cli,
        MissedImage("unknown", now - 100, MissedBy.SCAN),
        MissedImage("skipped", now - 50, MissedBy.SCAN, was_skipped=True),
        MissedImage("between", now - 40, MissedBy.NUMBERS),
        MissedImage("old", now - 3 * DAY_S, MissedBy.SCAN),
    )
    await write_scan(cli, 1, ScanState.ANSWERED)

    every = await cli.run("catchup")
    of_night = await cli.run("catchup", "today", "--json")
    listed = await cli.run("images", "--state", "missed", "--json")

    assert every.code == 1
    assert "last scan 34 images, 2 min 10 s ago; 2 of another camera" in every.words
    assert "1 with an impossible name" in every.words
    assert "7 not read" in every.words
    for part in (
        "missed 4",
        "unknown 0 the Forwarder has listed it",
        "skipped 1 skipped, and the Forwarder has listed it",
        "between 0 its number is missing between two others",
    ):
        assert part in every.words
    assert of_night.json["well"] is False
    names = [image["obsid"] for image in of_night.json["images"]]
    assert set(names) <= {"unknown", "skipped", "between"}, "old is of another night"
    assert of_night.json["scan"]["names"] == 34
    assert [line["image"] for line in listed.json] == ["old", "unknown", "skipped", "between"]


async def test_nothing_missed_is_exit_code_0(cli: CommandRunner) -> None:
    answer = await cli.run("catchup")

    assert answer.code == 0
    assert answer.words == (
        "last scan none yet catch-up report: missed exposures are not archived nothing is missed"
    )


async def test_night_of_which_nothing_is_missed_is_named(cli: CommandRunner) -> None:
    answer = await cli.run("catchup", "20261127")

    assert answer.words.endswith("nothing is missed of the night 2026-11-27")


async def test_dry_run_lists_what_would_be_archived_oldest_first(cli: CommandRunner) -> None:
    now = time.time()
    await miss(
        cli,
        MissedImage("second", now - 50, MissedBy.SCAN),
        MissedImage("first", now - 100, MissedBy.SCAN),
        MissedImage("between", now - 70, MissedBy.NUMBERS),
        MissedImage("old", now - 3 * DAY_S, MissedBy.SCAN),
    )

    answer = await cli.run("catchup", "--dry-run", "--json")

    assert [image["obsid"] for image in answer.json["images"]] == ["first", "second"]
    assert answer.code == 1
    assert len(await ImageLedger(cli.redis).missed_images()) == 4


@pytest.mark.parametrize("count", [0, 2])
async def test_dry_run_says_that_it_is_a_preview(cli: CommandRunner, count: int) -> None:
    now = time.time()
    await miss(cli, *(MissedImage(f"i_{n}", now - 60 + n, MissedBy.SCAN) for n in range(count)))

    answer = await cli.run("catchup", "--dry-run")

    assert f"preview: CATCH_UP: automatic would archive {count} images" in answer.words
    assert "preview" not in (await cli.run("catchup")).words


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--no-wait",), "--no-wait needs the names of images"),
        (("--wait", "--dry-run"), "--dry-run archives nothing, so --wait has nothing to wait for"),
    ],
)
async def test_wait_option_without_effect_is_a_usage_error(
    cli: CommandRunner, words: tuple[str, ...], error: str
) -> None:
    answer = await cli.run("catchup", *words)

    assert answer.code == 2
    assert error in answer.err_words


async def test_long_list_is_cut_and_json_is_not(cli: CommandRunner) -> None:
    now = time.time()
    await miss(cli, *(MissedImage(f"i_{n:03}", now - 200 + n, MissedBy.SCAN) for n in range(60)))

    text, as_json = await cli.run("catchup"), await cli.run("catchup", "--json")

    assert "50 of 60 are shown: the newest that a scan has listed" in text.words
    assert "i_009" not in text.words
    assert "i_059" in text.words
    assert len(as_json.json["images"]) == 60


@pytest.mark.parametrize(
    ("numbers", "shown", "hidden"),
    [
        (60, ("n_013", "n_059"), ("n_012",)),
        (10, ("n_000", "n_009"), ()),
    ],
)
async def test_listed_images_are_printed_before_numbers_that_are_only_missing(
    cli: CommandRunner, numbers: int, shown: tuple[str, ...], hidden: tuple[str, ...]
) -> None:
    now = time.time()
    newer = (MissedImage(f"n_{n:03}", now - 100 + n, MissedBy.NUMBERS) for n in range(numbers))
    older = (MissedImage(f"s_{n:03}", now - 200 + n, MissedBy.SCAN) for n in range(3))
    await miss(cli, *older, *newer)

    words = (await cli.run("catchup")).words

    names = ("s_000", "s_001", "s_002", *shown)
    assert [words.index(name) for name in names] == sorted(words.index(name) for name in names)
    assert all(name not in words for name in hidden)


async def test_images_that_a_scan_has_listed_displace_all_missing_numbers(
    cli: CommandRunner,
) -> None:
    now = time.time()
    older = (MissedImage(f"s_{n:03}", now - 200 + n, MissedBy.SCAN) for n in range(51))
    await miss(cli, *older, MissedImage("number", now, MissedBy.NUMBERS))

    words = (await cli.run("catchup")).words

    assert "s_001" in words
    assert "s_050" in words
    assert not any(name in words for name in ("s_000", "number 0"))


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (ScanState.REQUESTED, "requested 2 min 10 s ago, not sent yet"),
        (ScanState.SENT, "sent to fwd1 2 min 10 s ago, not answered yet"),
        (ScanState.NOT_SENT, "could not be sent 2 min 10 s ago; it is repeated"),
        (ScanState.UNANSWERED, "not answered by fwd1, 2 min 10 s ago"),
    ],
)
async def test_state_of_the_last_scan_is_shown(
    cli: CommandRunner, state: ScanState, text: str
) -> None:
    await write_scan(cli, 1, state)

    assert text in (await cli.run("catchup")).words


async def ready(cli: CommandRunner) -> None:
    """Write a pairing and a heartbeat of health."""
    await cli.pair()
    await cli.write_heartbeats(keys.Worker.HEALTH)


async def play_health(cli: CommandRunner, state: ScanState) -> None:
    """Wait for the request of a scan, and write its end."""

    async def requested() -> bool:
        return RequestScan() in await messages_in(cli.redis, keys.Worker.HEALTH)

    await eventually(requested, "RequestScan")
    await write_scan(cli, 2, state)


@pytest.mark.parametrize(
    ("state", "code", "error"),
    [
        (ScanState.ANSWERED, 0, ""),
        (ScanState.UNANSWERED, 1, "Forwarder fwd1 did not answer SCAN"),
    ],
)
async def test_scan_is_requested_and_its_end_is_waited_for(
    cli: CommandRunner, state: ScanState, code: int, error: str
) -> None:
    await ready(cli)
    await write_scan(cli, 1, ScanState.ANSWERED)

    health = asyncio.create_task(play_health(cli, state))
    answer = await cli.run("catchup", "--now")
    await health

    assert answer.code == code
    assert error in answer.err_words


@pytest.mark.parametrize(
    ("count", "named"),
    [(1, "(image_1)"), (3, "(image_3, image_2, image_1)"), (5, "(image_5, image_4, image_3 and 2")],
)
async def test_exposure_that_postpones_a_scan_is_named(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch, count: int, named: str
) -> None:
    monkeypatch.setattr(scanning, "MARGIN_S", -100.0)
    await ready(cli)
    now = time.time()
    await cli.ledger_builder.exposure("archived", 9, now - 60)
    for number in range(1, count + 1):
        await cli.ledger_builder.exposure(
            f"image_{number}", 10 + number, now - 50 + number, Progress.INSTRUCTED
        )

    answer = await cli.run("catchup", "--now")

    assert answer.code == 1
    assert f"no scan yet: an exposure is in progress {named}" in answer.err_words


async def test_scan_that_has_not_ended_names_no_exposure_if_none_is_in_progress(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "MARGIN_S", -100.0)
    await ready(cli)

    answer = await cli.run("catchup", "--now")

    assert answer.code == 1
    assert "the scan has not ended yet" in answer.err_words


@pytest.mark.parametrize(
    ("lacking", "error"),
    [
        ("pairing", "no Forwarder is paired"),
        ("health", "ccarchiver:health is down"),
        ("setting", "CATCH_UP is off"),
    ],
)
async def test_scan_that_is_not_possible_is_declined(
    cli: CommandRunner, lacking: str, error: str
) -> None:
    if lacking != "pairing":
        await cli.pair()
    if lacking == "setting":
        path = cli.folder / "ccarchiver_config.yaml"
        site = yaml.safe_load(path.read_text(encoding="utf-8"))
        site["ROOT"]["CATCH_UP"] = "off"
        path.write_text(yaml.safe_dump(site), encoding="utf-8")

    answer = await cli.run("catchup", "--now")

    assert answer.code == 1
    assert error in answer.err_words
    assert await messages_in(cli.redis, keys.Worker.HEALTH) == []
