from __future__ import annotations

from pathlib import Path

from tests.sim.butler.raws import comcam, instrument_of_file

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


def test_comcam_has_the_nine_detectors_of_its_raft() -> None:
    instrument = comcam()
    assert instrument.collection == "LSSTComCam/raw/all"
    assert instrument.class_name == "lsst.obs.lsst.LsstComCam"
    assert [(one.number, one.full_name) for one in instrument.detectors] == [
        (number, f"R22_S{number // 3}{number % 3}") for number in range(9)
    ]
    assert {one.purpose for one in instrument.detectors} == {"SCIENCE"}


def test_latiss_has_one_detector() -> None:
    instrument = instrument_of_file(EXAMPLES / "atarchiver_config.yaml")
    assert instrument.collection == "LATISS/raw/all"
    assert [one.full_name for one in instrument.detectors] == ["R00_S00"]


def test_full_camera_numbers_the_corner_rafts_last() -> None:
    instrument = instrument_of_file(EXAMPLES / "mtarchiver_config.yaml")
    by_number = {one.number: one for one in instrument.detectors}
    assert len(by_number) == 205
    assert by_number[0].full_name == "R01_S00"
    assert by_number[188].full_name == "R43_S22"
    corner = [by_number[number] for number in range(189, 193)]
    assert [(one.full_name, one.purpose) for one in corner] == [
        ("R00_SG0", "GUIDER"),
        ("R00_SG1", "GUIDER"),
        ("R00_SW0", "WAVEFRONT"),
        ("R00_SW1", "WAVEFRONT"),
    ]
