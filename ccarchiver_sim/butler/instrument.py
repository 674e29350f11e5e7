"""The instrument of a site in the terms of the Butler: its name, detectors and collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings

INSTRUMENTS: Final = {
    "COMCAM": ("LSSTComCam", "lsst.obs.lsst.LsstComCam"),
    "LATISS": ("LATISS", "lsst.obs.lsst.Latiss"),
    "LSSTCAM": ("LSSTCam", "lsst.obs.lsst.LsstCam"),
}
"""For each CAMERA_NAME the names of the instrument and of its class in the observatory's
software."""

UNKNOWN_CLASS: Final = "unknown"
"""Name of the class of an instrument for which the observatory's software has none."""

GUIDER: Final = "GUIDER"
SCIENCE: Final = "SCIENCE"
WAVEFRONT: Final = "WAVEFRONT"
PURPOSES: Final = {"SG": GUIDER, "SW": WAVEFRONT}
"""Purpose of a detector by the beginning of its name; all others are for science."""


@dataclass(frozen=True)
class Detector:
    """One CCD: its number in the camera, its raft, its name in the raft, and its purpose."""

    number: int
    raft: str
    name: str
    purpose: str

    @property
    def full_name(self) -> str:
        """Name that is unique in the camera, for example `R22_S01`."""
        return full_name(self.raft, self.name)


@dataclass(frozen=True)
class Instrument:
    """A camera.

    Parameters
    ----------
    name : `str`
        Name in the Butler, for example `LSSTComCam`.
    class_name : `str`
        Name of its class in the observatory's software.
    detectors : `tuple` [`Detector`, ...]
        Its CCDs.
    """

    name: str
    class_name: str
    detectors: tuple[Detector, ...]

    @property
    def collection(self) -> str:
        """Name of the collection of its raw images."""
        return f"{self.name}/raw/all"


def full_name(raft: str, sensor: str) -> str:
    """Return the name of a CCD that is unique in the camera: `R22_S01`."""
    return f"{raft}_{sensor}"


def instrument_of(settings: Settings) -> Instrument:
    """Return the instrument of a site.

    The detectors are numbered by raft and name, first those for science and then those of the
    corner rafts, as in the observatory's cameras.
    """
    ccds = [ccd for board in settings.ats.ccds for ccd in settings.ats.sensors_of(board)]
    ccds.sort(key=lambda ccd: (_purpose_of(ccd[1]) != SCIENCE, ccd))
    detectors = (
        Detector(number, f"R{raft}", name, _purpose_of(name))
        for number, (raft, name) in enumerate(ccds)
    )
    name, class_name = INSTRUMENTS.get(settings.camera_name, (settings.camera_name, UNKNOWN_CLASS))
    return Instrument(name, class_name, tuple(detectors))


def _purpose_of(name: str) -> str:
    return next((purpose for start, purpose in PURPOSES.items() if name.startswith(start)), SCIENCE)
