"""The archiver runs without the Butler, and only one package of the simulators imports it."""

from __future__ import annotations

import sys

import pytest

from ccarchiver_sim import pace

PROGRAMS = (
    "ccarchiver_sal.main",
    "ccarchiver_bridge.main",
    "ccarchiver_health.main",
    "ccarchiver_cli.main",
    "ccarchiver_sim.peers.forwarder.main",
    "ccarchiver_sim.peers.oods.main",
)
LIMIT_S = 60.0

pytestmark = pytest.mark.processes


def test_no_worker_and_no_help_text_loads_the_butler() -> None:
    code = (
        f"import importlib, sys\nfor name in {PROGRAMS!r}: importlib.import_module(name)\n"
        "print([name for name in sys.modules if name.startswith('lsst.daf')])"
    )
    done = pace.run([sys.executable, "-c", code], LIMIT_S, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_oods_without_the_butler_names_the_remedy() -> None:
    code = (
        "import sys; sys.modules['lsst.daf.butler'] = None; sys.argv = ['oods']\n"
        "from ccarchiver_sim.peers.oods.main import main; main()"
    )
    done = pace.run([sys.executable, "-c", code], LIMIT_S, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("oods: ")
    assert "pip install -r requirements-simulators.txt" in done.stderr
