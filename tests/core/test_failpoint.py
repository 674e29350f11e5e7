from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim import pace
from tests.core.redis_helpers import LIMIT_S

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.processes

PROGRAM = """
from ccarchiver_core.base import failpoint
for number in range(5):
    print(number, flush=True)
    failpoint.hit("here")
    failpoint.hit("elsewhere")
"""


@pytest.mark.parametrize(
    ("armed", "hits"), [("here", 1), ("here:1", 1), ("here:3", 3), ("elsewhere:2", 2)], ids=str
)
def test_process_kills_itself_at_the_armed_failpoint(armed: str, hits: int) -> None:
    done = run(armed)

    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.split()) == hits


@pytest.mark.parametrize("armed", [None, "", "nowhere", "here:6"])
def test_unarmed_failpoint_does_nothing(armed: str | None) -> None:
    done = run(armed)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 5


def run(armed: str | None) -> subprocess.CompletedProcess[str]:
    variables = {
        name: value for name, value in os.environ.items() if name != "CCARCHIVER_FAILPOINT"
    }
    if armed is not None:
        variables["CCARCHIVER_FAILPOINT"] = armed
    return pace.run(
        [sys.executable, "-c", PROGRAM], LIMIT_S, env=variables, capture_output=True, text=True
    )
