from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from matplotlib import image as matplotlib_image

from ccarchiver_sim.demo.picture import draw, place
from ccarchiver_sim.peers.forwarder.fitsfile import Layout, write
from ccarchiver_sim.peers.forwarder.sensors import Sensor
from ccarchiver_sim.raws.segments import AMPLIFIERS
from tests.sim import wire_samples

if TYPE_CHECKING:
    from pathlib import Path


def test_picture_shows_the_nine_ccds(tmp_path: Path) -> None:
    files: dict[str, Path] = {}
    for sensor in wire_samples.SENSORS:
        files[f"R22_{sensor}"] = tmp_path / f"{sensor}.fits"
        write(
            files[f"R22_{sensor}"],
            wire_samples.IMAGE,
            Sensor("22", sensor),
            [],
            "MD5",
            Layout(AMPLIFIERS),
        )
    draw(wire_samples.IMAGE, files, tmp_path / "picture.png")

    pixels = matplotlib_image.imread(tmp_path / "picture.png")
    assert pixels.shape[:2] == (770, 770)
    assert pixels[..., 0].std() > 0.1


def test_ccds_have_their_places_in_the_focal_plane() -> None:
    assert place("R22_S01") == (6, 7)
    assert place("R01_S20") == (2, 3)
    with pytest.raises(ValueError, match="R00_SG0 has no place"):
        place("R00_SG0")
