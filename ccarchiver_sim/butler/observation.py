"""The description of an exposure in the header of a raw file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from astropy.time import Time, TimeDelta

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTROLLERS: Final = "OC"
"""Controllers of the camera: the observatory's control system and the camera's own. The exposures
of each one have separate numbers."""

YEARS_OF_A_CONTROLLER: Final = 1000_00_00
"""What is added to the observing day in an exposure id for each place in `CONTROLLERS`."""

SEQUENCE_DIGITS: Final = 5
"""Digits of an exposure id for the number of the image on its day."""

UNKNOWN_FILTER: Final = "UNKNOWN"
UNKNOWN: Final = "unknown"

BAND: Final = re.compile(r"(?P<band>[ugrizy])(_\d+)?")
"""Pattern of the names of filters with a band, for example `r_03`."""

TIME_SYSTEMS: Final = ("UTC", "TAI")
"""Scales of the times in a header; without TIMESYS, the FITS standard says UTC."""

NANOSECONDS: Final = 9
"""Decimals of the seconds, as the Butler stores them."""

SKY: Final = frozenset({"science", "acq", "engtest", "focus", "cwfs", "spec"})
"""Types of the exposures in which the detectors see the sky."""


SHORTEST_S: Final = 0.001
"""Duration of an exposure whose header has none, or a negative one."""


class MetadataError(ValueError):
    """A header that does not describe an exposure; the text names the keyword."""


@dataclass(frozen=True)
class Observation:
    """One exposure, the same for all its CCDs.

    Parameters
    ----------
    obsid : `str`
        Name of the image.
    exposure_id : `int`
        Number that is unique for the camera.
    day_obs : `int`
        Observing day, for example 20261122.
    seq_num : `int`
        Number of the image on that day.
    group : `str`
        Name of the group of exposures to which it belongs.
    physical_filter, band : `str`
        The filter.
    observation_type, reason, program, target : `str`
        What the exposure is for.
    exposure_time, dark_time : `float`
        Seconds with an open shutter, and seconds before the readout.
    begin, end : `str`
        Begin and end of the exposure in TAI, in ISO format.
    """

    obsid: str
    exposure_id: int
    day_obs: int
    seq_num: int
    group: str
    physical_filter: str
    band: str
    observation_type: str
    reason: str
    program: str
    target: str
    exposure_time: float
    dark_time: float
    begin: str
    end: str

    @property
    def can_see_sky(self) -> bool:
        """Whether the detectors see the sky."""
        return self.observation_type in SKY


def observation_of(header: Mapping[str, object]) -> Observation:
    """Return the exposure that the primary header of a raw file describes.

    Raises
    ------
    MetadataError
        If a keyword is missing or has an impossible value.
    """
    day_obs = _day(header)
    seq_num = _integer(header, "SEQNUM")
    obsid = _text(header, "OBSID")
    exposure_time = _seconds(header, "EXPTIME")
    physical_filter = str(header.get("FILTER") or UNKNOWN_FILTER)
    match = BAND.fullmatch(physical_filter)
    begin = _time(header, "DATE-BEG")
    # Without the end of the exposure, or if the camera's clock was set back during it, the time
    # with an open shutter is the best estimate.
    end = _time(header, "DATE-END") if header.get("DATE-END") else begin
    if end <= begin:
        # The Butler accepts no empty period.
        end = begin + TimeDelta(max(exposure_time, SHORTEST_S), format="sec")
    return Observation(
        obsid=obsid,
        exposure_id=exposure_id(day_obs, seq_num, str(header.get("CONTRLLR") or CONTROLLERS[0])),
        day_obs=day_obs,
        seq_num=seq_num,
        group=str(header.get("GROUPID") or obsid),
        physical_filter=physical_filter,
        band=str(header.get("FILTBAND") or (match["band"] if match else UNKNOWN)),
        observation_type=_observation_type(header),
        reason=str(header.get("REASON") or header.get("TESTTYPE") or UNKNOWN).lower(),
        program=str(header.get("PROGRAM") or ""),
        target=str(header.get("OBJECT") or ""),
        exposure_time=exposure_time,
        dark_time=_seconds(header, "DARKTIME") if "DARKTIME" in header else exposure_time,
        begin=begin.tai.isot,
        end=end.tai.isot,
    )


def exposure_id(day_obs: int, seq_num: int, controller: str) -> int:
    """Return the number of an exposure that is unique for the camera: 2026112200007.

    Raises
    ------
    MetadataError
        If the number of the image is too high, or the controller is unknown.
    """
    if seq_num >= 10**SEQUENCE_DIGITS:
        raise MetadataError(
            f"its header has SEQNUM {seq_num}; an exposure id has only {SEQUENCE_DIGITS} digits "
            "for it"
        )
    if len(controller) != 1 or controller not in CONTROLLERS:
        raise MetadataError(
            f"its header has CONTRLLR {controller!r}; the known ones are {', '.join(CONTROLLERS)}"
        )
    day = day_obs + CONTROLLERS.index(controller) * YEARS_OF_A_CONTROLLER
    return day * 10**SEQUENCE_DIGITS + seq_num


def _observation_type(header: Mapping[str, object]) -> str:
    name = str(header.get("IMGTYPE") or UNKNOWN).lower()
    return "science" if name in {"object", "skyexp"} else name


def _day(header: Mapping[str, object]) -> int:
    text = _text(header, "DAYOBS").replace("-", "")
    if re.fullmatch(r"\d{8}", text, re.ASCII) is None:
        raise MetadataError(f"its header has DAYOBS {text!r}, which is not a day such as 20261122")
    return int(text)


def _text(header: Mapping[str, object], keyword: str) -> str:
    value = header.get(keyword)
    if value is None or str(value).strip() == "":
        raise MetadataError(f"its header has no {keyword}")
    return str(value)


def _integer(header: Mapping[str, object], keyword: str) -> int:
    text = _text(header, keyword)
    if re.fullmatch(r"\d{1,18}", text, re.ASCII) is None:
        raise MetadataError(f"its header has {keyword} {text!r}, which is not a whole number")
    return int(text)


def _seconds(header: Mapping[str, object], keyword: str) -> float:
    text = _text(header, keyword)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise MetadataError(f"its header has {keyword} {text!r}, which is not a number")
    return value


def _time(header: Mapping[str, object], keyword: str) -> Time:
    text = _text(header, keyword)
    system = str(header.get("TIMESYS") or TIME_SYSTEMS[0])
    if system not in TIME_SYSTEMS:
        raise MetadataError(
            f"its header has TIMESYS {system!r}; the known ones are {', '.join(TIME_SYSTEMS)}"
        )
    try:
        return Time(text, format="isot", scale=system.lower(), precision=NANOSECONDS)
    except ValueError as error:
        raise MetadataError(f"its header has {keyword} {text!r}: {error}") from error
