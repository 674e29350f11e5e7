"""The rehearsal of a catch-up, ``make demo ARGS=--missed``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from ccarchiver_core.base.exit_codes import EXIT_UNAVAILABLE
from ccarchiver_sim import pace
from ccarchiver_sim.demo.missed import overridden

LIMIT_S = 110.0
"""Less than the limit of a test, so that a failure has the output; it takes a third of it."""
IMAGES = 4


@pytest.mark.parametrize(
    ("settings", "replaced"),
    [
        ({"CATCH_UP": "report"}, ["report"]),
        ({"CATCH_UP": "off"}, ["off"]),
        ({"CATCH_UP": "automatic"}, []),
        ({}, []),
    ],
)
def test_replaced_setting_of_the_site_file_has_a_line(
    settings: dict[str, object], replaced: list[str]
) -> None:
    assert overridden(settings) == [
        f"CATCH_UP: {value} of the site file is replaced by automatic for this catch-up"
        for value in replaced
    ]


# Extended: tests/integration/test_catch_up.py and tests/sal/test_event_intake.py cover the parts.
@pytest.mark.extended
@pytest.mark.processes
def test_exposures_of_a_standby_and_of_a_dead_csc_are_all_archived() -> None:
    argv = [sys.executable, "-m", "ccarchiver_sim.demo.main", "--missed", "--keep"]
    # A run folder needs a short path, which pytest's own folder does not have.
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "site.yaml"
        config.write_text("ROOT:\n  CATCH_UP: report\n", encoding="utf-8")
        done = pace.run(
            [*argv, "--images", f"{IMAGES}", "--cadence", "0.5", "--config", str(config)],
            LIMIT_S,
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
        )

    words = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Butler: {9 * IMAGES} of {9 * IMAGES} datasets" in words
    assert f"caught up {IMAGES}" in words
    assert "complete: nothing is missing" in words
    assert "CATCH_UP: report of the site file is replaced by automatic" in words
    assert f"end with exit code {EXIT_UNAVAILABLE}" in words
