from __future__ import annotations

import datetime as dt

import pytest

from ccarchiver_core.domain.image_record import UNACCEPTED_STATES, ImageState
from ccarchiver_core.domain.image_summary import ImageSummary
from ccarchiver_core.status.images import bounds_of, observing_day
from ccarchiver_core.status.night import Gap, find_gaps, summarize
from ccarchiver_core.status.night_view.advice import missing_of

DAY = dt.date(2026, 11, 22)
BEGIN = bounds_of(DAY)[0]


def summary(
    number: int,
    state: ImageState = ImageState.COMPLETE,
    *,
    took: float = 1.0,
    code: int = 0,
    events: int = 3,
) -> ImageSummary:
    received_at = BEGIN + number
    is_accepted = state not in UNACCEPTED_STATES
    return ImageSummary(
        obsid=f"CC_O_20261122_{number:06d}",
        job=number,
        state=state,
        at=received_at,
        last_event_at=received_at,
        events=events,
        finished=received_at + took if state in (ImageState.COMPLETE, ImageState.FAILED) else None,
        retrieved=9 if is_accepted else 0,
        ingested=9 if state is ImageState.COMPLETE else 0,
        failed="no" if state is ImageState.FAILED else "",
        failed_code=code,
    )


def test_observing_day_begins_at_noon_utc() -> None:
    assert (observing_day(BEGIN), observing_day(BEGIN - 1)) == (DAY, dt.date(2026, 11, 21))
    assert dt.datetime.fromtimestamp(BEGIN, tz=dt.UTC) == dt.datetime(
        2026, 11, 22, 12, tzinfo=dt.UTC
    )


def test_night_summary_counts_the_images_by_state() -> None:
    states = [
        *[ImageState.COMPLETE] * 3,
        ImageState.ACCEPTED,
        ImageState.STALLED,
        ImageState.SKIPPED,
    ]
    images = [summary(number, state) for number, state in enumerate(states, start=1)]
    images += [summary(7, ImageState.FAILED, code=5752), summary(8, ImageState.FAILED, code=5752)]

    night = summarize(DAY, images, 9)

    assert (night.seen, night.complete) == (8, 3)
    assert night.unfinished == [images[3].obsid, images[4].obsid]
    assert night.stalled == [images[4].obsid]
    assert night.failed == {5752: [images[6].obsid, images[7].obsid]}
    assert night.files_expected == 7 * 9
    assert night.files_ingested == 3 * 9
    assert not night.is_complete


def test_unannounced_image_does_not_make_a_night_incomplete() -> None:
    assert summarize(DAY, [summary(1), summary(2, ImageState.UNANNOUNCED)], 9).is_complete
    assert not summarize(DAY, [summary(1), summary(2, ImageState.SKIPPED)], 9).is_complete
    assert not summarize(DAY, [summary(1), summary(3)], 9).is_complete, (
        "no event of image 2 was received"
    )


def test_missed_images_make_a_night_incomplete_and_are_not_seen_without_an_event() -> None:
    missed = ImageState.MISSED
    images = [summary(1), summary(2, missed, events=0), summary(3, missed, events=2), summary(4)]

    night = summarize(DAY, images, 9)

    assert night.missed == [images[1].obsid, images[2].obsid]
    assert (night.seen, night.accepted, night.complete, night.gaps) == (3, 2, 2, [])
    assert (night.files_expected, night.is_complete) == (18, False)


def test_percentiles_are_of_complete_images_by_nearest_rank() -> None:
    images = [summary(number, took=float(number)) for number in range(1, 101)]

    night = summarize(DAY, images, 9)

    assert night.percentiles_s == pytest.approx({50: 50.0, 90: 90.0, 99: 99.0})
    assert [slow.took_s for slow in night.slowest] == pytest.approx([100.0, 99.0, 98.0, 97.0, 96.0])


def test_empty_night_is_complete_and_has_no_percentiles() -> None:
    night = summarize(DAY, [], 9)

    assert (night.seen, night.percentiles_s, night.is_complete) == (0, {}, True)


def test_gaps_are_found_within_each_sequence_of_names() -> None:
    names = [
        "CC_O_20261122_000001",
        "CC_O_20261122_000005",
        "CC_O_20261122_000002",
        "CC_H_20261122_000009",
        "dark",
    ]

    assert find_gaps(names) == [
        Gap(first="CC_O_20261122_000003", last="CC_O_20261122_000004", count=2)
    ]


def test_find_gaps_ignores_names_that_are_far_apart() -> None:
    assert find_gaps(["i1", "i9"]) != []
    assert find_gaps(["CC_O_20261122_000001", "CC_O_20261122_735514"]) == []


def test_image_that_only_a_scan_has_listed_fills_a_gap_and_ends_none() -> None:
    seen = [summary(number, ImageState.COMPLETE) for number in (1, 4)]
    listed = [
        summary(2, ImageState.MISSED, events=0),
        summary(800, ImageState.MISSED, events=0),
        summary(900, ImageState.DISMISSED, events=0),
    ]

    night = summarize(DAY, [*seen, *listed], 9)

    name = "CC_O_20261122_000003"
    assert night.gaps == [Gap(first=name, last=name, count=1)]


def test_dismissed_image_does_not_make_a_night_incomplete() -> None:
    images = [
        summary(1, ImageState.COMPLETE),
        summary(2, ImageState.DISMISSED),
        summary(3, ImageState.DISMISSED, events=0),
    ]

    night = summarize(DAY, images, 9)

    assert (night.seen, len(night.dismissed), night.is_complete) == (2, 2, True)
    assert missing_of(DAY, images, [], night.gaps, 9, BEGIN) == []
