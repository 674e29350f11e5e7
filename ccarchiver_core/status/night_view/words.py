"""Words, symbols and formats of the page of a night."""

from __future__ import annotations

import datetime as dt

from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.store.stage_durations import Stage

STATE_SYMBOLS = {
    ImageState.ACCEPTED: ("…", "open"),
    ImageState.COMPLETE: ("✔", "complete"),
    ImageState.FAILED: ("✖", "failed"),
    ImageState.STALLED: ("▲", "stalled"),
    ImageState.SKIPPED: ("○", "skipped"),
    ImageState.UNANNOUNCED: ("?", "unannounced"),
    ImageState.MISSED: ("!", "missed"),
    ImageState.DISMISSED: ("⊘", "dismissed"),
    ImageState.UNREADABLE: ("✖", "unreadable"),
}
"""Symbol and word of each image state, as on the first page."""

STAGE_NAMES = {
    Stage.SEND_NEW_ITEM: "archiver sends the new item",
    Stage.ANSWER_NEW_ITEM: "Controller answers",
    Stage.SEND_XFER_PARAMS: "archiver sends the parameters",
    Stage.ANSWER_XFER_PARAMS: "Forwarder answers, parameters",
    Stage.SEND_END_READOUT: "archiver sends the end of readout",
    Stage.ANSWER_END_READOUT: "Forwarder answers, end of readout",
    Stage.SEND_HEADER_READY: "archiver sends header ready",
    Stage.ANSWER_HEADER_READY: "Forwarder answers, header ready",
    Stage.RETRIEVE: "all CCDs retrieved",
    Stage.INGEST: "all CCDs ingested",
    Stage.IMAGE: "image complete",
}

SECOND_S, MINUTE_S, HOUR_S = 1.0, 60.0, 3600.0


def clock(at: float) -> str:
    """Return the time of day of a Unix time, in UTC."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%H:%M:%S")


def fine_clock(at: float) -> str:
    """Return the time of day of a Unix time with milliseconds, in UTC."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%H:%M:%S.%f")[:-3]


def duration(seconds: float) -> str:
    """Return a duration in one unit, or in two from a minute on."""
    if seconds < SECOND_S:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.3g} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min {seconds % MINUTE_S:.0f} s"
    return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S // MINUTE_S:.0f} min"


def plural(count: int, one: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {one}" + ("" if count == 1 else "s")
