"""Name and content of a header file."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPONENT: Final = "CCHeaderService"


@dataclass(frozen=True)
class Camera:
    """Constants of the headers of one camera, as its public raw files have them."""

    instrument: str
    telescope: str
    filter_name: str
    band: str


MAIN_TELESCOPE: Final = "Simonyi Survey Telescope"

CAMERAS: Final = {
    "CC": Camera("ComCam", MAIN_TELESCOPE, "r_03", "r"),
    "AT": Camera("LATISS", "LSST AuxTelescope", "SDSSr_65mm", "r"),
    "MC": Camera("LSSTCam", MAIN_TELESCOPE, "r_57", "r"),
}
"""Cameras by the prefix of their image names."""

UNKNOWN_CAMERA: Final = Camera("simulated", "simulated", "unknown", "unknown")

MJD_OF_UNIX_EPOCH: Final = 40587
SECONDS_A_DAY: Final = 86400.0

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
    camera = CAMERAS.get(end_readout["imageSource"], UNKNOWN_CAMERA)
    begin = end_readout["timestampAcquisitionStart"]
    end = end_readout["timestampEndOfReadout"]
    exposure_time = end_readout["requestedExposureTime"]
    keys = dict(
        zip(
            end_readout["additionalKeys"].split(":"),
            end_readout["additionalValues"].split(":"),
            strict=False,
        )
    )
    image_type = keys.get("imageType", "UNKNOWN")
    return [
        ("TELESCOP", camera.telescope, "telescope"),
        ("INSTRUME", camera.instrument, "instrument"),
        ("TIMESYS", "TAI", "scale of all dates"),
        ("DATE", _iso(end), "creation of this header"),
        ("DATE-OBS", _iso(begin), "start of the exposure"),
        ("DATE-BEG", _iso(begin), "start of the exposure"),
        ("DATE-END", _iso(end), "end of the readout"),
        ("MJD-OBS", _mjd(begin), "start of the exposure"),
        ("MJD-BEG", _mjd(begin), "start of the exposure"),
        ("MJD-END", _mjd(end), "end of the readout"),
        ("OBSID", end_readout["imageName"], "name of the image"),
        ("CAMCODE", end_readout["imageSource"], "code of the camera"),
        ("CONTRLLR", end_readout["imageController"], "who controlled the camera"),
        ("DAYOBS", end_readout["imageDate"], "observing day"),
        ("SEQNUM", end_readout["imageNumber"], "number of the image on that day"),
        ("GROUPID", keys.get("groupId", end_readout["imageName"]), "group of exposures"),
        ("CURINDEX", end_readout["imageIndex"], "place in the sequence"),
        ("MAXINDEX", end_readout["imagesInSequence"], "images in the sequence"),
        ("IMGTYPE", image_type, "type of the exposure"),
        ("TESTTYPE", image_type, "type of the test"),
        ("REASON", image_type.lower(), "reason of the exposure"),
        ("PROGRAM", "simulation", "observing program"),
        ("FILTER", camera.filter_name, "filter"),
        ("FILTBAND", camera.band, "band of the filter"),
        ("EXPTIME", exposure_time, "exposure time in seconds"),
        ("SHUTTIME", exposure_time, "time with an open shutter in seconds"),
        ("DARKTIME", round(end - begin, 3), "time before the end of the readout in seconds"),
    ]


def render(lines: list[Line]) -> bytes:
    """Return the content of a header file with these lines."""
    entries = [
        {"keyword": keyword, "value": value, "comment": comment}
        for keyword, value, comment in lines
    ]
    text: str = yaml.dump({"PRIMARY": entries}, Dumper=yaml.CSafeDumper, sort_keys=False)
    return text.encode()


def _iso(tai: float) -> str:
    moment = dt.datetime.fromtimestamp(tai, dt.UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _mjd(tai: float) -> float:
    return MJD_OF_UNIX_EPOCH + tai / SECONDS_A_DAY
