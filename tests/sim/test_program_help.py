"""The help of the simulators' programs: the same style of placeholders as ``ccarchiver``."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from benchmarks.main import command as benchmarks
from ccarchiver_sim.demo.main import demo
from ccarchiver_sim.faults.main import command as faults
from ccarchiver_sim.night.main import command as night
from ccarchiver_sim.peers.backbone.main import main as backbone
from ccarchiver_sim.peers.camera.main import main as camera
from ccarchiver_sim.peers.controller.main import main as controller
from ccarchiver_sim.peers.forwarder.main import main as forwarder
from ccarchiver_sim.peers.header_service.main import main as header_service
from ccarchiver_sim.peers.oods.main import main as oods
from ccarchiver_sim.program import app_of
from ccarchiver_sim.soak.main import command as soak

PROGRAMS = {
    "backbone": backbone,
    "benchmarks": app_of(benchmarks),
    "camera": camera,
    "controller": controller,
    "demo": app_of(demo),
    "faults": app_of(faults),
    "forwarder": forwarder,
    "header_service": header_service,
    "night": app_of(night),
    "oods": oods,
    "soak": app_of(soak),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_placeholders_are_upper_case_and_without_types(name: str, flag: str) -> None:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(PROGRAMS[name], [flag])

    assert result.exit_code == 0, result.output
    assert re.findall(r"<\w+[^=]*>", result.output) == [], "a type in place of a placeholder"
    assert re.search(r"^│ --\w[\w-]* ", result.output, re.MULTILINE)
