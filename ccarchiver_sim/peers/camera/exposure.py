"""One exposure and the fields of its events."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

DAY_ENDS_AFTER_UTC: Final = dt.timedelta(hours=12)
"""Images are numbered by observing day, which changes at noon UTC."""

NAME: Final = re.compile(
    r"(?P<source>[A-Z]{2})_(?P<controller>[A-Z])_(?P<date>\d{8})_(?P<number>\d{6})"
)
"""Pattern of image names: CC for ComCam (see SOURCES), O for the observatory's control system, the
day, a number."""

COMPONENT: Final = "CCCamera"
SOURCE: Final = "CC"
SOURCES: Final = {COMPONENT: SOURCE, "ATCamera": "AT", "MTCamera": "MC"}
"""Cameras, and the prefix of their image names."""

Fields = dict[str, str | float | bool]


@dataclass(frozen=True)
class Exposure:
    """An exposure to take.

    Parameters
    ----------
    image : `str`
        Name of the image. Other forms than the camera's are accepted, to test unusual names.
    seconds : `float`
        Exposure time.
    index : `int`
        Index in the sequence, from 0.
    in_sequence : `int`
        Number of images in the sequence.
    """

    image: str
    seconds: float = 0.0
    index: int = 0
    in_sequence: int = 1

    def start_integration(self, tai: float) -> Fields:
        """Return the fields of the startIntegration event."""
        return self._common(tai) | {"exposureTime": self.seconds}

    def end_readout(self, started: float, tai: float) -> Fields:
        """Return the fields of the endReadout event."""
        return self._common(started) | {
            "requestedExposureTime": self.seconds,
            "timestampEndOfReadout": tai,
        }

    def _common(self, started: float) -> Fields:
        match = NAME.fullmatch(self.image)
        return {
            "additionalKeys": "imageType:groupId",
            "additionalValues": f"DARK:{self.image}",
            "imagesInSequence": self.in_sequence,
            "imageName": self.image,
            "imageIndex": self.index,
            "imageSource": match["source"] if match else "",
            "imageController": match["controller"] if match else "",
            "imageDate": match["date"] if match else "",
            "imageNumber": int(match["number"]) if match else 0,
            "timestampAcquisitionStart": started,
        }


def image_name(date: str, number: int, source: str = SOURCE) -> str:
    """Return the name of an image, of ComCam unless `source` is another camera's."""
    return f"{source}_O_{date}_{number:06d}"


def observing_date(now: dt.datetime) -> str:
    """Return the observing day in the format of image names: `20261122`."""
    return f"{(now.astimezone(dt.UTC) - DAY_ENDS_AFTER_UTC):%Y%m%d}"
