"""The lock files: everything pinned, the stand-ins there, nothing named that would tie them to one machine."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from tests.middleware.process import ROOT

FILES = ["requirements.txt", "requirements-site.txt", "requirements-dev.txt"]
PIN = re.compile(r"(?P<name>[\w.-]+)(\[\w+\])?==(?P<version>[\w.]+)")


def requirements(name: str) -> list[str]:
    lines = (line.split("  #")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_everything_is_pinned(name: str) -> None:
    for line in requirements(name):
        if line.startswith("./"):
            assert (ROOT / line / "pyproject.toml").is_file()
        elif not line.startswith("-r "):
            assert PIN.fullmatch(line), line
    assert "://" not in (ROOT / name).read_text()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_what_is_pinned_is_installed(name: str) -> None:
    pins = [match for line in requirements(name) if (match := PIN.fullmatch(line))]
    assert {m["name"]: m["version"] for m in pins} == {m["name"]: version(m["name"]) for m in pins}


def test_the_site_file_differs_only_in_the_stand_ins_and_their_dds() -> None:
    ours, theirs = requirements("requirements.txt"), requirements("requirements-site.txt")
    left_out = [line for line in ours if line not in theirs]
    assert all(line.startswith(("./middleware/", "cyclonedds==")) for line in left_out)
    assert set(theirs) < set(ours)
