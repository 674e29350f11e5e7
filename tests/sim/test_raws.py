"""The raw files of the simulated Forwarder, read as anyone reads a raw file of the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from ccarchiver_sim.peers.forwarder.fitsfile import BIAS, NOISE, Layout, write
from ccarchiver_sim.peers.forwarder.sensors import Sensor
from ccarchiver_sim.raws.ccd import assemble
from ccarchiver_sim.raws.sections import Section, SectionError
from ccarchiver_sim.raws.segments import AMPLIFIERS, DETECTOR, SHAPE, segments

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "CC_O_20261122_000014"


def raw(tmp_path: Path, layout: Layout) -> Path:
    path = tmp_path / "raw.fits"
    write(path, IMAGE, Sensor("22", "S01"), [("EXPTIME", 1.0, "")], "MD5", layout)
    return path


def test_segments_are_named_as_in_the_camera_s_files() -> None:
    names = [segment.name for segment in segments(AMPLIFIERS)]
    assert names == [
        *(f"Segment1{column}" for column in range(8)),
        *(f"Segment0{column}" for column in reversed(range(8))),
    ]


def test_segments_cover_each_pixel_of_the_ccd_once() -> None:
    covered = np.zeros(DETECTOR.shape, int)
    for segment in segments(AMPLIFIERS):
        covered[segment.of_detector.slices] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_file_has_a_header_and_an_image_for_each_amplifier(
    tmp_path: Path, *, compressed: bool
) -> None:
    with fits.open(raw(tmp_path, Layout(AMPLIFIERS, compressed=compressed))) as units:
        primary, *images = units
        assert primary.data is None
        assert primary.header["OBSID"] == IMAGE
        assert primary.header["RAFTBAY"] == "R22"
        assert primary.header["CCDSLOT"] == "S01"
        assert [image.name for image in images] == [
            segment.name for segment in segments(AMPLIFIERS)
        ]
        assert images[0].header["DETSEC"] == "[16:1,1:32]"
        assert {image.data.shape for image in images} == {SHAPE}
        assert {isinstance(image, fits.CompImageHDU) for image in images} == {compressed}


def test_compression_changes_no_pixel(tmp_path: Path) -> None:
    plain = assemble(raw(tmp_path, Layout(AMPLIFIERS)))
    assert (assemble(raw(tmp_path, Layout(AMPLIFIERS, compressed=True))) == plain).all()


def test_assembled_ccd_has_light_in_each_segment(tmp_path: Path) -> None:
    ccd = assemble(raw(tmp_path, Layout(AMPLIFIERS)))
    assert ccd.shape == DETECTOR.shape
    assert np.median(ccd) == pytest.approx(BIAS, abs=200)
    assert ccd.max() > BIAS + 10 * NOISE, "stars"


def test_ccd_with_fewer_amplifiers_has_gaps(tmp_path: Path) -> None:
    ccd = assemble(raw(tmp_path, Layout(2)))
    assert np.isnan(ccd).mean() == pytest.approx(14 / 16)


@pytest.mark.parametrize("text", ["[1:16,1:32]", "[16:1,1:32]", "[1:16,64:33]", "[5:5,9:9]"])
def test_section_is_written_as_it_was_read(text: str) -> None:
    assert Section.parse(text).text == text


def test_section_selects_pixels_in_its_directions() -> None:
    pixels = np.arange(12).reshape(3, 4)
    assert pixels[Section.parse("[2:3,1:2]").slices].tolist() == [[1, 2], [5, 6]]
    assert pixels[Section.parse("[3:1,3:2]").slices].tolist() == [[10, 9, 8], [6, 5, 4]]


def test_text_that_is_no_section_is_rejected() -> None:
    with pytest.raises(SectionError, match="is no section"):
        Section.parse("[1:16]")
