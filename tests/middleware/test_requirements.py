"""The lock files: everything is pinned, stand-ins are listed, no line is specific to a machine."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from tests.middleware.process import ROOT

FILES = [
    "requirements.txt",
    "requirements-site.txt",
    "requirements-dev.txt",
    "requirements-audit.txt",
]
PIN = re.compile(r"[\w.-]+(\[\w+\])?==[\w.]+(; .+)?")


def requirements(name: str) -> list[str]:
    lines = (line.split("  #")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned(name: str) -> None:
    for line in requirements(name):
        if line.startswith("./"):
            assert (ROOT / line / "pyproject.toml").is_file()
        elif not line.startswith("-r "):
            assert PIN.fullmatch(line), line
    assert "://" not in (ROOT / name).read_text()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_pinned_versions_are_installed(name: str) -> None:
    pins = [Requirement(line) for line in requirements(name) if PIN.fullmatch(line)]
    wanted = {
        pin.name: str(pin.specifier) for pin in pins if pin.marker is None or pin.marker.evaluate()
    }
    assert wanted == {name: f"=={version(name)}" for name in wanted}


def test_site_requirements_differ_only_in_the_stand_ins_and_their_dds() -> None:
    ours, theirs = requirements("requirements.txt"), requirements("requirements-site.txt")
    left_out = [line for line in ours if line not in theirs]
    assert all(line.startswith(("./middleware/", "cyclonedds==")) for line in left_out)
    assert set(theirs) < set(ours)
