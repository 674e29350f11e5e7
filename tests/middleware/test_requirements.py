"""The lists of requirements and their lock file, constraints.txt."""

from __future__ import annotations

import re
from importlib.metadata import distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.middleware.process import ROOT

LISTS = [
    "requirements.txt",
    "requirements-site.txt",
    "requirements-simulators.txt",
    "requirements-dev.txt",
    "requirements-tools.txt",
]
LOCK = "constraints.txt"
OURS = {
    "ccarchiver",
    "ccarchiver-genuine-first",
    "ccarchiver-idl",
    "ts-dds",
    "ts-ddsconfig",
    "ts-utils",
}
"""Distributions of this project, which no index has."""
PIN = re.compile(r"[a-z0-9-]+==[\w.]+( ; .+)?")
OLDEST_PYTHON = {"python_full_version": "3.11.2", "python_version": "3.11"}
"""The Python of Debian 12."""


def lines_of(name: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line]


def listed(name: str) -> set[str]:
    """Return the packages that a list names, without those of included lists."""
    lines = [line for line in lines_of(name) if not line.startswith(("-", "./"))]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def locked() -> list[Requirement]:
    return [Requirement(line) for line in lines_of(LOCK)]


def test_every_line_of_the_lock_is_a_pin_without_an_index_or_a_path() -> None:
    lines = lines_of(LOCK)
    assert len(lines) > 100
    assert [line for line in lines if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("name", LISTS)
def test_every_list_uses_the_lock_and_every_package_of_it_is_locked(name: str) -> None:
    lines = lines_of(name)
    included = [line.removeprefix("-r ") for line in lines if line.startswith("-r ")]
    assert "-c constraints.txt" in lines or included
    assert set(included) <= set(LISTS)
    assert listed(name) <= {canonicalize_name(pin.name) for pin in locked()}
    assert [line for line in lines if "==" in line or "://" in line] == []
    for line in lines:
        if line.startswith("./"):
            assert (ROOT / line / "pyproject.toml").is_file()


def test_each_package_has_one_version_on_each_python() -> None:
    for environment in (OLDEST_PYTHON, {"python_full_version": "3.13.5", "python_version": "3.13"}):
        names = [
            pin.name for pin in locked() if pin.marker is None or pin.marker.evaluate(environment)
        ]
        assert sorted(names) == sorted(set(names))


def test_installed_packages_have_the_locked_versions() -> None:
    pins = {
        canonicalize_name(pin.name): pin.specifier
        for pin in locked()
        if pin.marker is None or pin.marker.evaluate()
    }
    installed = {canonicalize_name(one.name): one.version for one in distributions()}
    foreign = {name: version for name, version in installed.items() if name not in OURS}
    # pip is as the interpreter brings it.
    foreign.pop(canonicalize_name("pip"), None)
    assert {name: version for name, version in foreign.items() if version not in pins[name]} == {}
    lists = ("requirements-dev.txt", "requirements-site.txt", "requirements-simulators.txt")
    assert set().union(*(listed(name) for name in lists)) <= set(installed)


def test_site_list_has_all_of_setup_py_and_no_stand_in() -> None:
    needed = [Requirement(text) for text in requires("ccarchiver") or []]
    direct = {canonicalize_name(one.name) for one in needed if one.marker is None}
    assert direct <= listed("requirements-site.txt")
    assert [line for line in lines_of("requirements-site.txt") if line.startswith("./")] == []
    versions = {canonicalize_name(pin.name): pin.specifier for pin in locked()}
    for one in needed:
        if one.marker is None:
            [version] = [pin.version for pin in versions[canonicalize_name(one.name)]]
            assert version in one.specifier, one


def test_simulators_list_has_the_extra_of_setup_py() -> None:
    needed = [Requirement(text) for text in requires("ccarchiver") or []]
    extra = {
        canonicalize_name(one.name)
        for one in needed
        if one.marker is not None and one.marker.evaluate({"extra": "butler"})
    }
    assert extra == {"lsst-daf-butler"}
    assert extra <= listed("requirements-simulators.txt")


def test_runtime_list_adds_only_the_stand_ins_and_their_dds() -> None:
    assert listed("requirements.txt") == {"cyclonedds"}
    stand_ins = {line for line in lines_of("requirements.txt") if line.startswith("./")}
    folders = {
        f"./middleware/{path.parent.name}" for path in ROOT.glob("middleware/*/pyproject.toml")
    }
    assert stand_ins == folders
