"""Name and content of a header file."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

TAI_MINUS_UTC: Final = dt.timedelta(seconds=37)
"""Valid since 2017; used only for the dates in headers, where a leap second has no effect on a
rehearsal."""

COMPONENT: Final = "CCHeaderService"

INSTRUMENTS: Final = {"CC": "ComCam", "AT": "LATISS", "MC": "LSSTCam"}
"""INSTRUME by the prefix of the image names."""

Line = tuple[str, str | int | float, str]


def file_name(image: str, generator: str = COMPONENT) -> str:
    """Return the name of an image's header file, with its header service as prefix."""
    return f"{generator}_header_{image}.yaml"


def header_lines(end_readout: Mapping[str, Any]) -> list[Line]:
    """Return the primary header of an image from the camera's event.

    Parameters
    ----------
    end_readout : mapping
        Fields of the endReadout event.
    """
    return [
        ("TELESCOP", "Simulated", "telescope"),
        ("INSTRUME", INSTRUMENTS.get(end_readout["imageSource"], "simulated"), "instrument"),
        ("OBSID", end_readout["imageName"], "name of the image"),
        ("DAYOBS", end_readout["imageDate"], "observing day"),
        ("SEQNUM", end_readout["imageNumber"], "number of the image on that day"),
        ("CAMCODE", end_readout["imageSource"], "code of the camera"),
        ("CONTRLLR", end_readout["imageController"], "who controlled the camera"),
        ("CURINDEX", end_readout["imageIndex"], "place in the sequence"),
        ("MAXINDEX", end_readout["imagesInSequence"], "images in the sequence"),
        ("EXPTIME", end_readout["requestedExposureTime"], "exposure time in seconds"),
        ("DATE-BEG", _utc(end_readout["timestampAcquisitionStart"]), "start of the exposure, UTC"),
        ("DATE-END", _utc(end_readout["timestampEndOfReadout"]), "end of the readout, UTC"),
    ]


def render(lines: list[Line]) -> bytes:
    """Return the content of a header file with these lines."""
    entries = [
        {"keyword": keyword, "value": value, "comment": comment}
        for keyword, value, comment in lines
    ]
    text: str = yaml.dump({"PRIMARY": entries}, Dumper=yaml.CSafeDumper, sort_keys=False)
    return text.encode()


def _utc(tai: float) -> str:
    moment = dt.datetime.fromtimestamp(tai, dt.UTC) - TAI_MINUS_UTC
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
