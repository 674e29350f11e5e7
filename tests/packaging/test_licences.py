"""The table of licences is that of what is installed, and all of them go with ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 120.0


def test_the_table_is_current_and_each_licence_goes_with_ours() -> None:
    asked = [sys.executable, str(ROOT / "scripts" / "licences"), "--check"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
