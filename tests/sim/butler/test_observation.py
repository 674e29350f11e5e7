from __future__ import annotations

import pytest

from ccarchiver_sim.butler.observation import MetadataError, observation_of
from tests.sim.butler.raws import header_of


def test_header_describes_the_exposure() -> None:
    observation = observation_of(header_of(7))
    assert observation.obsid == "CC_O_20261122_000007"
    assert observation.exposure_id == 2026112200007
    assert (observation.day_obs, observation.seq_num) == (20261122, 7)
    assert (observation.physical_filter, observation.band) == ("r_03", "r")
    assert observation.observation_type == "dark"
    assert not observation.can_see_sky
    assert observation.group == observation.obsid
    assert observation.begin == "2026-11-22T23:00:37.000000000"
    assert observation.end == "2026-11-22T23:00:38.000000000"


def test_exposures_of_the_camera_s_own_control_have_other_numbers() -> None:
    assert observation_of(header_of(7, CONTRLLR="C")).exposure_id == 3026112200007


def test_time_system_of_the_header_is_used() -> None:
    assert observation_of(header_of(7, TIMESYS="TAI")).begin == "2026-11-22T23:00:00.000000000"


def test_optional_keywords_have_defaults() -> None:
    observation = observation_of(header_of(7, FILTER=None, IMGTYPE=None, DATE_END=None))
    assert (observation.physical_filter, observation.band) == ("UNKNOWN", "unknown")
    assert observation.observation_type == "unknown"
    assert observation.end == "2026-11-22T23:00:38.000000000"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"OBSID": None}, "its header has no OBSID"),
        ({"DAYOBS": ""}, "its header has no DAYOBS"),
        ({"DAYOBS": "yesterday"}, "which is not a day such as 20261122"),
        ({"SEQNUM": None}, "its header has no SEQNUM"),
        ({"SEQNUM": "many"}, "which is not a whole number"),
        ({"SEQNUM": 100_000}, "only 5 digits"),
        ({"CONTRLLR": "X"}, "the known ones are O, C"),
        ({"EXPTIME": "nan"}, "which is not a number"),
        ({"DATE_BEG": "soon"}, "its header has DATE-BEG 'soon'"),
        ({"TIMESYS": "GMT"}, "its header has TIMESYS 'GMT'"),
    ],
)
def test_header_that_describes_no_exposure_is_rejected(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(MetadataError, match=reason):
        observation_of(header_of(7, **changes))


def test_end_before_the_begin_is_estimated_from_the_exposure_time() -> None:
    """The clock of the camera was set back during the exposure."""
    plain = observation_of(header_of(7))
    changed = observation_of(header_of(7, DATE_END="2026-11-22T22:00:00"))
    assert changed.begin == plain.begin
    assert changed.end > changed.begin
