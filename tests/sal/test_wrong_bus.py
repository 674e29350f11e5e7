"""The CSC's program with DDS variables that have impossible values."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed.child_process import base_environment

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 30.0


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LSST_DDS_PEER", "rti"),
        ("LSST_DDS_OWNERSHIP", "mine"),
        ("LSST_DDS_DOMAIN_ID", "231"),
        ("LSST_DDS_PARTITION_PREFIX", ""),
    ],
)
def test_wrong_variable_is_one_line_and_exit_code_78(name: str, value: str, tmp_path: Path) -> None:
    env = base_environment() | {
        "IIP_CONFIG_DIR": str(tmp_path),
        "IIP_LOG_DIR": str(tmp_path),
        "LSST_DDS_PARTITION_PREFIX": "unused-partition",
        "LSST_DDS_DOMAIN_ID": "0",
        "LSST_SITE": "test",
        name: value,
    }

    ended = subprocess.run(
        [sys.executable, "-m", "ccarchiver_sal.main"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(LIMIT_S),
    )

    assert ended.returncode == EXIT_CONFIG, ended.stderr
    assert ended.stderr.startswith(f"run_ccarchiver_sal: {name} is ")
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "it has begun to work"
