"""How long ago something was, whatever happens to the wall clock."""

from __future__ import annotations

import time

import pytest

from ccarchiver_core.base import clock

HOUR = 3600.0


def written(instant: clock.Instant) -> dict[str, str]:
    """Give an instant's fields as Redis gives them back."""
    return {name: str(value) for name, value in instant.fields("x_").items()}


@pytest.mark.parametrize("step_s", [-HOUR, HOUR])
def test_within_one_boot_a_step_of_the_wall_clock_does_not_count(
    monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    before = written(clock.now())
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + step_s)

    assert 0 <= clock.seconds_since(before, "x_") < HOUR / 2


def test_of_another_boot_the_wall_clock_is_believed() -> None:
    now = clock.now()
    before = clock.Instant(now.wall - HOUR, "another", now.uptime)

    assert clock.seconds_since(written(before), "x_") >= HOUR
    assert clock.seconds_since({"x_at": str(now.wall - HOUR)}, "x_") >= HOUR
    assert clock.seconds_since({}, "x_") > 50 * 365 * 24 * HOUR


def test_where_the_kernel_does_not_name_its_boot_the_wall_clock_is_all_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "boot_id", lambda: "")
    before = clock.Instant(clock.now().wall - HOUR, "", clock.now().uptime)

    assert clock.seconds_since(written(before), "x_") >= HOUR


@pytest.mark.parametrize("step_s", [-HOUR, HOUR])
def test_a_step_is_noticed_once_and_with_its_sign(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    watch = clock.ClockJumpDetector()
    assert watch.poll() == 0
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + step_s)

    assert watch.poll() == pytest.approx(step_s, abs=HOUR / 2)
    assert watch.poll() == 0
