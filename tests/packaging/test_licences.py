"""The licence table lists the installed packages, and all licences are compatible with ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ccarchiver_sim import pace

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 60.0


@pytest.mark.processes
def test_licence_table_is_current_and_each_licence_is_compatible() -> None:
    asked = [sys.executable, str(ROOT / "scripts" / "licences"), "--check"]
    done = pace.run(asked, LIMIT_S, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
