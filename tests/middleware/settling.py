"""Discovery times scaled to the speed of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ts_dds_cyclone import history

from ccarchiver_sim.pace import scaled

if TYPE_CHECKING:
    import pytest

LIMITS = (
    "SETTLE_PARTICIPANT",
    "SETTLE_MATCH",
    "SETTLE_AT_MOST",
    "LATE_WINDOW",
    "LATE_QUIET",
    "LATE_AT_MOST",
)


def settle_at_the_machines_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scale discovery times to a busy machine: the product's times suit an idle one."""
    for name in LIMITS:
        monkeypatch.setattr(history, name, scaled(getattr(history, name)))
