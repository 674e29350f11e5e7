"""Time scales, even after the end of the leap second table (requirement 11)."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

import pytest
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given
from hypothesis import strategies as st
from lsst.ts import utils
from lsst.ts.utils import leap_second_files, leap_seconds, tai

from ccarchiver_sim import pace

if TYPE_CHECKING:
    from pathlib import Path

DAY = utils.SECONDS_PER_DAY
LEAP_2017 = 1483228800.0
"""2017-01-01: TAI - UTC went from 36 to 37 s."""
LIMIT_S = 60.0
NTP_LIST = """#	a comment
#$	 3676924800
#File expires on:  28 June 2026
2272060800	10	# 1 Jan 1972
3692217600	37	# 1 Jan 2017
"""


def test_tai_and_utc_of_known_times() -> None:
    assert utils.tai_from_utc_unix(LEAP_2017 + 1) == LEAP_2017 + 38
    assert utils.tai_from_utc_unix(LEAP_2017 - 2 * DAY) == LEAP_2017 - 2 * DAY + 36
    assert utils.tai_from_utc_unix(LEAP_2017 - DAY / 2) == pytest.approx(LEAP_2017 - DAY / 2 + 36.5)
    assert utils.utc_from_tai_unix(LEAP_2017 + 37) == LEAP_2017
    assert utils.utc_from_tai_unix(LEAP_2017 + 36) == LEAP_2017
    assert Time(0, scale="utc", format="unix").mjd * DAY == utils.MJD_MINUS_UNIX_SECONDS


@given(st.floats(LEAP_2017, LEAP_2017 + 1e10))
def test_utc_to_tai_and_back_is_unchanged(utc: float) -> None:
    assert utils.utc_from_tai_unix(utils.tai_from_utc_unix(utc)) == pytest.approx(utc, abs=1e-5)


def test_every_form_of_a_time_is_converted() -> None:
    expected = utils.tai_from_utc_unix(1.6e9)
    assert utils.tai_from_utc(1.6e9) == expected
    assert utils.tai_from_utc(Time(1.6e9, scale="utc", format="unix")) == pytest.approx(
        expected, abs=1e-5
    )
    assert utils.tai_from_utc("2020-09-13T12:26:40", format=None) == pytest.approx(
        expected, abs=1e-5
    )
    assert utils.tai_from_utc(1.6e9 / DAY + 40587, format="mjd") == pytest.approx(
        expected, abs=1e-5
    )
    moment = utils.astropy_time_from_tai_unix(expected)
    assert moment.scale == "tai"
    assert moment.utc.unix == pytest.approx(1.6e9, abs=1e-5)


def test_times_before_1972_are_rejected() -> None:
    for convert in (utils.tai_from_utc_unix, utils.utc_from_tai_unix):
        with pytest.raises(ValueError, match="1972"):
            convert(0.0)


def test_current_tai_is_close_to_the_computed_tai() -> None:
    assert utils.current_tai() == pytest.approx(utils.tai_from_utc_unix(time.time()), abs=1.2)


@pytest.mark.parametrize(
    ("clock_offset", "computed"), [(37.0, False), (0.0, True), (OSError("none"), True)]
)
def test_kernel_clock_is_used_only_if_its_offset_is_right(
    monkeypatch: pytest.MonkeyPatch,
    clock_offset: float | OSError,
    computed: bool,  # noqa: FBT001 (a test's parameter)
) -> None:
    def clock_gettime(_: int) -> float:
        if isinstance(clock_offset, OSError):
            raise clock_offset
        return time.time() + clock_offset

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    assert (tai.choose_tai_clock() is tai._tai_from_table) is computed


def test_last_offset_is_used_after_the_end_of_the_table(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the genuine package every read of salobj fails from the day before on."""
    expired = leap_seconds.LeapSecondTable(
        (63072000.0, LEAP_2017), (10.0, 37.0), expires=LEAP_2017 + DAY
    )
    monkeypatch.setattr(leap_seconds, "load_table", lambda: expired)
    monkeypatch.setattr(leap_seconds, "_keeper", leap_seconds._Keeper())
    now = time.time()
    with caplog.at_level(logging.WARNING):
        for later in (0, 1, 10 * DAY, 10_000 * DAY):
            assert utils.tai_from_utc_unix(now + later) == now + later + 37
            assert utils.utc_from_tai_unix(now + later) == now + later - 37
    assert len(caplog.records) == 1
    assert "expired on 2017-01-02" in caplog.text
    assert "astropy-iers-data" in caplog.text


def test_newer_table_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = leap_seconds.LeapSecondTable((63072000.0,), (38.0,), expires=time.time() + DAY)
    keeper = leap_seconds._Keeper()
    monkeypatch.setattr(leap_seconds, "_keeper", keeper)
    monkeypatch.setattr(
        leap_seconds,
        "load_table",
        lambda: leap_seconds.LeapSecondTable((63072000.0,), (37.0,), 0.0),
    )
    assert utils.tai_from_utc_unix(1e9) == 1e9 + 37
    monkeypatch.setattr(leap_seconds, "load_table", lambda: newer)
    assert utils.tai_from_utc_unix(1e9) == 1e9 + 37, "the new table is not loaded yet"
    monkeypatch.setattr(keeper, "_next_look", 0.0)
    assert utils.tai_from_utc_unix(1e9) == 1e9 + 38


def test_leap_second_table_of_this_machine_is_usable() -> None:
    table = leap_seconds.load_table()
    assert table.expires > LEAP_2017
    assert table.offsets[0] == 10
    assert table.utc_starts[table.offsets.index(37)] == LEAP_2017


def test_table_has_the_content_that_astropy_reads() -> None:
    table = leap_seconds.read_iers_file(
        leap_seconds.Path(leap_seconds.astropy_iers_data.IERS_LEAP_SECOND_FILE)
    )
    rows = [row for row in iers.LeapSeconds.from_iers_leap_seconds() if row["year"] >= 1972]
    starts = [Time(f"{row['year']}-{row['month']:02}-01", scale="utc").unix for row in rows]
    assert table.utc_starts == pytest.approx(starts, abs=1e-3)
    assert table.offsets == tuple(row["tai_utc"] for row in rows)
    expires = iers.LeapSeconds.from_iers_leap_seconds().expires.isot
    assert time.strftime("%Y-%m-%d", time.gmtime(table.expires)) == expires[:10]


def test_list_of_the_system_is_read(tmp_path: Path) -> None:
    path = tmp_path / "leap-seconds.list"
    path.write_text(NTP_LIST, encoding="ascii")
    table = leap_second_files.read_ntp_list(path)
    assert table.utc_starts == (63072000.0, LEAP_2017)
    assert table.offsets == (10.0, 37.0)
    assert time.strftime("%Y-%m-%d", time.gmtime(table.expires)) == "2026-06-28"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("#File expires on:  28 June 2026\n", "no leap second"),
        ("2272060800 10\n", "the date on which it expires"),
        ("2272060800\n", "unpack"),
        ("<html>\n", "unpack"),
    ],
)
def test_other_files_are_rejected(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "leap-seconds.list"
    path.write_text(content, encoding="ascii")
    with pytest.raises(ValueError, match=reason):
        leap_second_files.read_ntp_list(path)


@pytest.mark.processes
def test_astropy_is_not_loaded_before_it_is_used() -> None:
    program = (
        "import sys; from lsst.ts import utils; utils.current_tai(); utils.tai_from_utc(1.6e9); "
        "assert 'astropy' not in sys.modules; assert utils.angle_diff(350, 10).deg == -20"
    )
    done = pace.run([sys.executable, "-c", program], LIMIT_S, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
