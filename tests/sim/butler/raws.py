"""Raw files and instruments for the tests of the Butler repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_sim.butler.instrument import full_name, instrument_of
from ccarchiver_sim.butler.observation import observation_of
from ccarchiver_sim.butler.repository import RawFile

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.butler.instrument import Instrument

SENSORS = tuple(f"S{board}{ccd}" for board in range(3) for ccd in range(3))
DAY = "20261122"


def comcam() -> Instrument:
    return instrument_of(Settings())


def instrument_of_file(path: Path) -> Instrument:
    return instrument_of(load_settings(path))


def obsid_of(number: int) -> str:
    return f"CC_O_{DAY}_{number:06d}"


def header_of(number: int, **changes: object) -> dict[str, object]:
    """Return the primary header of an image; a keyword whose value is None is missing."""
    header: dict[str, object] = {
        "OBSID": obsid_of(number),
        "DAYOBS": DAY,
        "SEQNUM": number,
        "CONTRLLR": "O",
        "IMGTYPE": "DARK",
        "FILTER": "r_03",
        "EXPTIME": 1.0,
        "DATE-BEG": "2026-11-22T23:00:00.000",
        "DATE-END": "2026-11-22T23:00:01.000",
    }
    header |= {key.replace("_", "-"): value for key, value in changes.items()}
    return {key: value for key, value in header.items() if value is not None}


def raw_file(folder: Path, number: int, sensor: str = "S00", **changes: object) -> RawFile:
    """Write a raw file and return it."""
    path = folder / f"{obsid_of(number)}-R22{sensor}.fits"
    folder.mkdir(parents=True, exist_ok=True)
    header = header_of(number, **changes)
    unit = fits.PrimaryHDU(np.full((4, 4), number, np.int16))
    unit.header.update(header)
    unit.writeto(path, overwrite=True)
    return RawFile(path, full_name("R22", sensor), observation_of(header))


def image(folder: Path, number: int, **changes: object) -> list[RawFile]:
    """Write the nine files of an image."""
    return [raw_file(folder, number, sensor, **changes) for sensor in SENSORS]
