"""The view of a night has words, a place and an advice for every state of an image."""

from __future__ import annotations

import datetime as dt

import pytest

from ccarchiver_core.domain.exposure import EventKind
from ccarchiver_core.domain.image_record import ImageState, MissedBy
from ccarchiver_core.domain.image_summary import ImageSummary
from ccarchiver_core.domain.image_times import TimedSummary
from ccarchiver_core.status.images import bounds_of
from ccarchiver_core.status.night_view.advice import GOOD_STATES, missing_of
from ccarchiver_core.status.night_view.charts import LANES
from ccarchiver_core.status.night_view.steps import steps_of
from ccarchiver_core.status.night_view.words import STATE_SYMBOLS

DAY = dt.date(2026, 11, 22)
BEGIN, END = bounds_of(DAY)
NAME = "CC_O_20261122_000001"
FILES = 9


def summary(state: ImageState, name: str = NAME, missed_by: str = "") -> ImageSummary:
    return ImageSummary(
        obsid=name,
        job=1,
        state=state,
        at=BEGIN + 60,
        last_event_at=None,
        events=1,
        finished=None,
        retrieved=0,
        ingested=0,
        failed="",
        failed_code=0,
        missed_by=missed_by,
    )


def command_for(image: ImageSummary, now: float) -> str:
    """Return the command that the table of what is missing has for an image."""
    [row] = missing_of(DAY, [image], [], [], FILES, now)
    return row.command


def test_each_state_has_a_symbol_a_word_and_one_lane_of_the_timeline() -> None:
    assert set(STATE_SYMBOLS) == set(ImageState)
    assert sorted(state for _, states in LANES for state in states) == sorted(ImageState)


def test_nothing_is_missing_of_an_image_in_a_good_state() -> None:
    assert missing_of(DAY, [summary(state) for state in GOOD_STATES], [], [], FILES, END) == []


@pytest.mark.parametrize(
    ("missed_by", "now", "command"),
    [
        (MissedBy.SCAN, END, f"ccarchiver catchup {NAME}"),
        (MissedBy.SCAN, END + 3 * 86400, f"ccarchiver catchup {NAME} --dismiss --reason TEXT"),
        (MissedBy.NUMBERS, END, f"ccarchiver catchup {DAY} --now"),
    ],
)
def test_advice_for_a_missed_image_depends_on_what_the_camera_still_has(
    missed_by: str, now: float, command: str
) -> None:
    assert command_for(summary(ImageState.MISSED, missed_by=missed_by), now) == command


@pytest.mark.parametrize(
    ("unscanned", "command"), [([NAME], f"ccarchiver catchup {DAY} --now"), ([], "")]
)
def test_forwarder_is_asked_about_a_skipped_image_that_no_scan_has_covered(
    unscanned: list[str], command: str
) -> None:
    [row] = missing_of(DAY, [summary(ImageState.SKIPPED)], [], [], FILES, END, unscanned)

    assert row.command == command


def test_image_that_is_open_after_the_night_is_to_be_replayed() -> None:
    image = summary(ImageState.ACCEPTED)

    assert command_for(image, END - 1) == f"ccarchiver image {NAME}"
    assert command_for(image, END + 1) == f"ccarchiver night {DAY} --replay"


def test_event_that_a_catch_up_uses_is_not_shown_as_received() -> None:
    caught_up = summary(ImageState.COMPLETE).model_copy(update={"is_caught_up": True})
    times = {EventKind.START: END, EventKind.END: END, EventKind.HEADER: END + 5}

    steps = steps_of(TimedSummary(caught_up, event_times=times), {})

    assert [step.what for step in steps] == [
        "endReadout used for the catch-up",
        "startIntegration used for the catch-up",
        "largeFileObjectAvailable received",
    ]


def test_name_with_characters_of_the_shell_is_quoted() -> None:
    image = summary(ImageState.FAILED, "x; reboot")

    assert command_for(image, END) == "ccarchiver image 'x; reboot' --retry"
