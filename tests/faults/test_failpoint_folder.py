"""A failpoint that is armed in the folder kills the process that reaches it, once."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ccarchiver_core.base.failpoint import FOLDER_VARIABLE
from ccarchiver_sim.faults.failpoints import PAIRING_POINTS, POINTS, SCAN_POINTS

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
PROGRAM = (
    "from ccarchiver_core.base.failpoint import hit; "
    "hit('a.first'); hit('a.second'); print('through')"
)
HIT = re.compile(r'failpoint\.hit\(f?"([^"]+)"\)')


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {FOLDER_VARIABLE: str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_armed_failpoint_kills_the_process_once(tmp_path: Path) -> None:
    (tmp_path / "a.second").touch()
    died = run(tmp_path)
    assert died.returncode == -signal.SIGKILL
    assert "through" not in died.stdout
    assert not list(tmp_path.iterdir())
    assert "through" in run(tmp_path).stdout


def test_unarmed_failpoints_do_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.third").touch()
    assert "through" in run(tmp_path).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.third"]


def test_campaign_knows_every_failpoint_in_the_sources() -> None:
    known = {point for points in POINTS.values() for point in points} | {
        *PAIRING_POINTS,
        *SCAN_POINTS,
    }
    patterns = set()
    for package in ("ccarchiver_core", "ccarchiver_sal", "ccarchiver_bridge", "ccarchiver_health"):
        for path in (ROOT / package).rglob("*.py"):
            patterns |= set(HIT.findall(path.read_text(encoding="utf-8")))
    assert patterns
    for pattern in patterns:
        expression = re.sub(r"\\\{[^}]*\\\}", r"\\w+", re.escape(pattern))
        assert any(re.fullmatch(expression, point) for point in known), (
            f"{pattern} is missing in the campaign's list of failpoints"
        )
