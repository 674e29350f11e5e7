"""Elapsed times are correct when the wall clock jumps."""

from __future__ import annotations

import time

import pytest

from ccarchiver_core.base import clock

HOUR = 3600.0


def written(instant: clock.Instant) -> dict[str, str]:
    """Return the fields of an instant as Redis returns them."""
    return {name: str(value) for name, value in instant.fields("x_").items()}


@pytest.mark.parametrize("jump_s", [-HOUR, HOUR])
def test_seconds_since_ignores_a_clock_jump_within_one_boot(
    monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    before = written(clock.now())
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + jump_s)

    assert 0 <= clock.seconds_since(before, "x_") < HOUR / 2


def test_seconds_since_uses_the_wall_clock_after_a_reboot() -> None:
    now = clock.now()
    before = clock.Instant(now.wall - HOUR, "another", now.uptime)

    assert clock.seconds_since(written(before), "x_") >= HOUR
    assert clock.seconds_since({"x_at": str(now.wall - HOUR)}, "x_") >= HOUR
    assert clock.seconds_since({}, "x_") > 50 * 365 * 24 * HOUR


def test_seconds_since_uses_the_wall_clock_without_a_boot_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "boot_id", lambda: "")
    before = clock.Instant(clock.now().wall - HOUR, "", clock.now().uptime)

    assert clock.seconds_since(written(before), "x_") >= HOUR


@pytest.mark.parametrize("jump_s", [-HOUR, HOUR])
def test_clock_jump_is_returned_once_with_its_sign(
    monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    detector = clock.ClockJumpDetector()
    assert detector.poll() == 0
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + jump_s)

    assert detector.poll() == pytest.approx(jump_s, abs=HOUR / 2)
    assert detector.poll() == 0
