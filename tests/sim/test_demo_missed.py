"""The rehearsal of a catch-up, ``make demo ARGS=--missed``."""

from __future__ import annotations

import os
import sys
import tempfile

import pytest

from ccarchiver_sim import pace

LIMIT_S = 110.0
"""Less than the limit of a test, so that a failure has the output; it takes a third of it."""
IMAGES = 4


# Extended: tests/integration/test_catch_up.py and tests/sal/test_event_intake.py cover the parts.
@pytest.mark.extended
@pytest.mark.processes
def test_exposures_of_a_standby_and_of_a_dead_csc_are_all_archived() -> None:
    argv = [sys.executable, "-m", "ccarchiver_sim.demo.main", "--missed"]
    # A run folder needs a short path, which pytest's own folder does not have.
    with tempfile.TemporaryDirectory() as folder:
        done = pace.run(
            [*argv, "--images", f"{IMAGES}", "--cadence", "0.5"],
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
