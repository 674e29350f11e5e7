"""Decision whether an event belongs to an exposure of which other events are known.

An image name alone does not decide it: a camera that begins its numbering again uses names a second
time. The camera's own time of the start of the exposure decides, if the events have it. A camera
that puts an event again keeps that time; `sent_at` changes, so it decides only without that time.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, NamedTuple

from ccarchiver_core.domain.exposure import EndReadout, EventKind, HeaderReady, StartIntegration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccarchiver_core.domain.exposure import ExposureEvent

TOLERANCE_S = 0.001
"""Difference below which two times of one camera are equal. No exposure is that short."""

TAI_AHEAD_S = 37.0
"""Seconds by which TAI, the time of the camera, is ahead of UTC, since 2017."""

CLOCKS_DIFFER_S = 5.0
"""Largest difference of the camera's clock from that of this host; they are synchronized."""


class Match(enum.Enum):
    """Whether an event belongs to an exposure."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "unknown"
    """Its data do not show it."""


class Verdict(NamedTuple):
    """The result of a comparison, with the difference as a text if it is another exposure."""

    match: Match
    difference: str = ""


_SAME, _UNKNOWN = Verdict(Match.SAME), Verdict(Match.UNKNOWN)


def compare(known: Mapping[EventKind, ExposureEvent], event: ExposureEvent) -> Verdict:
    """Return whether an event belongs to the exposure whose events are known.

    Notes
    -----
    Events of different kinds are never found to be of different exposures. An unusual camera that
    measures their times in two ways must not lose its images.
    """
    earlier = known.get(event.kind)
    if earlier is None:
        return _of_other_kinds(known, event)
    # The same sample can come twice, for example from the DDS history.
    is_same_sample = bool(event.sent_at) and earlier.sent_at == event.sent_at
    if is_same_sample or _is_substitute(earlier):
        return _SAME if is_same_sample else _UNKNOWN
    match earlier, event:
        case StartIntegration(), StartIntegration():
            return _starts(earlier, event, known)
        case EndReadout(), EndReadout():
            return _ends(earlier, event)
        case HeaderReady(), HeaderReady():
            return _headers(earlier, event)
        case _:
            return _UNKNOWN


def compare_with_missed(
    known: Mapping[EventKind, ExposureEvent], event: ExposureEvent, listed_at: float
) -> Verdict:
    """Return whether an event belongs to an exposure that a scan has listed as missed.

    The events of an exposure that was archived afterwards can be replacements without times of the
    camera. An exposure that began after the scan is another one.

    Parameters
    ----------
    known : `~collections.abc.Mapping`
        The events of the missed exposure.
    event : `ExposureEvent`
        An event with the same name.
    listed_at : `float`
        Unix time (UTC, seconds) at which the exposure was listed.
    """
    began_at = _acquisition_start(event)
    if math.isfinite(began_at) and began_at - TAI_AHEAD_S > listed_at + CLOCKS_DIFFER_S:
        return Verdict(
            Match.OTHER,
            f"timestampAcquisitionStart is {began_at:.3f}, which is after the Forwarder listed "
            f"the first one ({listed_at:.3f} UTC, Unix seconds)",
        )
    earlier = known.get(event.kind)
    if earlier is not None and began_at > 0 and _acquisition_start(earlier) == 0:
        return _SAME  # the event that its replacement stands for
    return compare(known, event)


def _is_substitute(event: ExposureEvent) -> bool:
    """Return whether the archiver made the event itself, for a missed image.

    The genuine one can still arrive, for example when SAL is connected again. A substitute has no
    time, and its other fields are not those of the camera.
    """
    if event.sent_at:
        return False
    match event:
        case StartIntegration():
            return not event.acquisition_start and not event.exposure_time
        case EndReadout():
            return not event.acquisition_start and not event.end_of_readout
        case HeaderReady():
            return not event.checksum


def _of_other_kinds(known: Mapping[EventKind, ExposureEvent], event: ExposureEvent) -> Verdict:
    times = (_acquisition_start(one) for one in known.values())
    found = any(_are_equal(one, _acquisition_start(event)) is True for one in times)
    return _SAME if found else _UNKNOWN


def _starts(
    earlier: StartIntegration, event: StartIntegration, known: Mapping[EventKind, ExposureEvent]
) -> Verdict:
    verdict = _by_time(
        "timestampAcquisitionStart", earlier.acquisition_start, event.acquisition_start
    )
    if verdict is not None:
        return verdict
    fields = (
        ("imageDate", earlier.image_date, event.image_date),
        ("imageIndex", earlier.image_index, event.image_index),
        ("imagesInSequence", earlier.images_in_sequence, event.images_in_sequence),
        ("exposureTime", earlier.exposure_time, event.exposure_time),
    )
    differences = list(_differences(fields))
    if differences:
        return Verdict(Match.OTHER, ", ".join(differences))
    if EventKind.END in known and event.sent_at and earlier.sent_at:
        return Verdict(Match.OTHER, "it was sent after the endReadout of the first exposure")
    return _UNKNOWN


def _ends(earlier: EndReadout, event: EndReadout) -> Verdict:
    for name, before, now in (
        ("timestampAcquisitionStart", earlier.acquisition_start, event.acquisition_start),
        ("timestampEndOfReadout", earlier.end_of_readout, event.end_of_readout),
    ):
        verdict = _by_time(name, before, now)
        if verdict is not None:
            return verdict
    fields = (
        ("imageDate", earlier.image_date or event.image_date, event.image_date),
        ("imageIndex", earlier.image_index, event.image_index),
        ("imagesInSequence", earlier.images_in_sequence, event.images_in_sequence),
    )
    differences = list(_differences(fields))
    return Verdict(Match.OTHER, ", ".join(differences)) if differences else _UNKNOWN


def _headers(earlier: HeaderReady, event: HeaderReady) -> Verdict:
    differences = list(_differences((("url", earlier.url, event.url),)))
    if differences:
        return Verdict(Match.OTHER, ", ".join(differences))
    # A header service can write the header of one exposure again with another content.
    is_same = bool(event.checksum) and earlier.checksum == event.checksum
    return _SAME if is_same else _UNKNOWN


def _differences(fields: tuple[tuple[str, object, object], ...]) -> Iterator[str]:
    for name, before, now in fields:
        if before != now and not (_is_nan(before) and _is_nan(now)):
            yield f"{name} is {now} instead of {before}"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _by_time(name: str, before: float, now: float) -> Verdict | None:
    """Return the verdict of a time of the camera; None if one of the events does not have it."""
    are_equal = _are_equal(before, now)
    if are_equal is None:
        return None
    if are_equal:
        return _SAME
    return Verdict(Match.OTHER, f"{name} is {now:.3f} instead of {before:.3f}")


def _are_equal(before: float, now: float) -> bool | None:
    """Return whether two times are equal; None if one of them is not known."""
    if not all(math.isfinite(time) and time > 0 for time in (before, now)):
        return None
    return abs(before - now) < TOLERANCE_S


def _acquisition_start(event: ExposureEvent) -> float:
    return 0.0 if isinstance(event, HeaderReady) else event.acquisition_start
