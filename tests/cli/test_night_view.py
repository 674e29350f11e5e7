"""``ccarchiver night`` with --html, --csv and --json: the view of a night in three forms."""

from __future__ import annotations

import csv
import io
import re
import time
from typing import TYPE_CHECKING

from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.images import bounds_of, observing_day
from ccarchiver_core.store import state_history
from ccarchiver_core.store.state_history import StateChange
from ccarchiver_core.store.transaction import Transaction
from tests.support.ledger_builder import Progress

if TYPE_CHECKING:
    import pytest

    from tests.cli.cli_runner import CommandRunner

MARKUP = '<b onclick="x">'


def image(number: int) -> str:
    return f"CC_O_20261122_{number:06d}"


async def build_night(cli: CommandRunner) -> float:
    """Write last night, with something missing of each kind; return its begin."""
    begin = bounds_of(observing_day(time.time()))[0] - 86400
    builder = cli.ledger_builder
    await builder.exposure(image(1), 1, begin + 100)
    await builder.stalled(image(2), 2, begin + 200, Progress.ASSIGNED)
    await builder.failed(image(3), 3, begin + 300, MARKUP, 5752)
    await builder.unaccepted(image(7), begin + 400, ImageState.SKIPPED)
    transaction = Transaction()
    for at, state, code in ((0, "ENABLED", 0), (310, "FAULT", 5751), (390, "STANDBY", 0)):
        change = StateChange(at=begin + at, state=state, error_code=code)
        state_history.record(transaction, change)
    await builder.write(transaction)
    return begin


async def test_html_file_needs_no_other_file_and_has_all_parts_of_the_night(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build_night(cli)
    monkeypatch.chdir(cli.folder)  # a long path would make the line longer than the terminal
    path = cli.folder / "night.html"

    answer = await cli.run("night", "yesterday", "--html", path.name)

    page = path.read_text(encoding="utf-8")
    day = observing_day(time.time() - 86400)
    assert answer.code == 1, "something is missing"
    assert f"written: {path.name}" in answer.words
    assert not re.search(r"\b(src|href)=", page)
    assert f"<title>Night {day} " in page
    assert f"ccarchiver night {day} --replay" in page
    assert f"ccarchiver image {image(3)} --retry" in page
    assert f"{image(4)} to {image(6)}" in page
    assert "5751: the Controller does not answer health checks" in page
    assert "&lt;b onclick=&quot;x&quot;&gt;" in page
    assert MARKUP not in page
    assert "NEW_CC_ARCHIVE_ITEM answered" in page
    assert "all CCDs ingested" in page


async def test_csv_has_a_line_for_each_exposure_and_each_range_of_numbers(
    cli: CommandRunner,
) -> None:
    await build_night(cli)

    answer = await cli.run("night", "yesterday", "--csv")

    rows = list(csv.DictReader(io.StringIO(answer.out)))
    day = observing_day(time.time() - 86400)
    assert [(row["image"], row["state"]) for row in rows] == [
        (image(1), "complete"),
        (image(2), "stalled"),
        (image(3), "failed"),
        (image(7), "skipped"),
        (f"{image(4)} to {image(6)}", "number missing"),
    ]
    assert rows[0]["answer_new_item_s"] == "0.01"
    assert rows[1]["command"] == f"ccarchiver night {day} --replay"


async def test_json_has_the_exposures_the_states_and_what_is_missing(cli: CommandRunner) -> None:
    begin = await build_night(cli)

    report = (await cli.run("night", "yesterday", "--json")).json

    assert [(one["state"], one["begin"], one["end"]) for one in report["states"]] == [
        ("ENABLED", begin, begin + 310),
        ("FAULT", begin + 310, begin + 390),
        ("STANDBY", begin + 390, begin + 86400),
    ]
    assert [one["first"] for one in report["missing"]] == [
        image(2),
        image(3),
        image(7),
        image(4),
    ]
    stages = report["exposures"][0]["stages"]
    assert stages.keys() >= {"send_new_item", "answer_new_item", "retrieve", "ingest", "image"}


async def test_text_of_a_spreadsheet_formula_is_quoted(cli: CommandRunner) -> None:
    await cli.ledger_builder.failed("=1+1", 1, time.time() - 60, "=2+2", 0)

    answer = await cli.run("night", "--csv")

    [row] = csv.DictReader(io.StringIO(answer.out))
    assert (row["image"], row["problem"]) == ("'=1+1", "'=2+2")


async def test_file_that_cannot_be_written_is_reported(cli: CommandRunner) -> None:
    answer = await cli.run("night", "--html", str(cli.folder / "missing" / "night.html"))

    assert answer.code == 74, "1 means that something of the night is missing"
    assert "cannot be written: No such file or directory" in answer.err_words


async def test_output_options_that_exclude_each_other_exit_2(cli: CommandRunner) -> None:
    assert (await cli.run("night", "--csv", "--json")).code == 2
    assert (await cli.run("night", "--html", "-")).code == 2
    assert (await cli.run("night", "--replay", "--csv")).code == 2


async def test_empty_night_is_written_too(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cli.folder)  # a long path would make the line longer than the terminal
    path = cli.folder / "night.html"

    assert (await cli.run("night", "2001-01-01", "--html", path.name)).code == 0
    assert "no exposure of this night is known" in path.read_text(encoding="utf-8")
