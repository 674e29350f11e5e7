"""Genuine packages are used where they are installed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim import pace

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.processes

LIMIT_S = 60.0
LAYOUTS = {
    "dds": "dds.py",
    "ddsutil": "ddsutil.py",
    "lsst.ts.utils": "lsst/ts/utils/__init__.py",
    "lsst.ts.ddsconfig": "lsst/ts/ddsconfig/__init__.py",
}
GENUINE = "from .part import ORIGIN\n"
PLAIN = "ORIGIN = 'genuine'\n"


def put(folder: Path, module: str, text: str) -> None:
    path = folder / LAYOUTS[module]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == "__init__.py":
        (path.parent / "part.py").write_text(text)
        text = GENUINE
    path.write_text(text)


def origin(module: str, *later: Path, setup: str = "") -> str:
    """Import a module with folders appended to the path; return which package it belongs to."""
    program = (
        f"import sys; sys.path.extend({[str(p) for p in later]!r})\n{setup}\n"
        f"import importlib; m = importlib.import_module({module!r})\n"
        f"assert sys.modules[{module!r}] is m and importlib.import_module({module!r}) is m\n"
        "print(getattr(m, 'ORIGIN', 'stand-in'))"
    )
    ended = pace.run([sys.executable, "-c", program], LIMIT_S, capture_output=True, text=True)
    return str(ended.stdout).strip() or str(ended.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("module", LAYOUTS)
def test_stand_in_is_used_without_a_genuine_package(module: str, tmp_path: Path) -> None:
    assert origin(module, tmp_path) == "stand-in"


@pytest.mark.parametrize("module", LAYOUTS)
def test_genuine_package_later_on_the_path_is_used(module: str, tmp_path: Path) -> None:
    for each in LAYOUTS:
        put(tmp_path, each, PLAIN)
    assert origin(module, tmp_path) == "genuine"


@pytest.mark.parametrize("module", ["dds", "ddsutil"])
def test_unrelated_package_of_the_same_name_is_not_used(module: str, tmp_path: Path) -> None:
    put(tmp_path, module, "ORIGIN = 'unrelated'\n")
    assert origin(module, tmp_path) == "stand-in"


def test_unrelated_top_level_package_utils_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text("ORIGIN = 'unrelated'\n")
    assert origin("lsst.ts.utils", tmp_path) == "stand-in"


@pytest.mark.parametrize("module", LAYOUTS)
def test_two_copies_of_the_stand_in_do_not_conflict(module: str, tmp_path: Path) -> None:
    """This happens with system-site-packages when both environments have the stand-ins."""
    for each in LAYOUTS:
        put(tmp_path, each, "ORIGIN = 'other copy'\n")
    (tmp_path / "ts_dds_cyclone").mkdir()
    (tmp_path / "ts_dds_cyclone" / "__init__.py").touch()
    for package in ("utils", "ddsconfig"):
        (tmp_path / "lsst" / "ts" / package / "_ccarchiver_stand_in.py").touch()
    assert origin(module, tmp_path) == "stand-in"


@pytest.mark.parametrize("module", ["dds", "lsst.ts.utils"])
def test_error_of_a_broken_genuine_package_is_raised(module: str, tmp_path: Path) -> None:
    for each in LAYOUTS:
        put(tmp_path, each, "raise RuntimeError('no licence')\n")
    assert origin(module, tmp_path) == "RuntimeError: no licence"


def test_editable_install_of_a_genuine_package_is_used(tmp_path: Path) -> None:
    """An editable install uses its own finder, not the import path."""
    put(tmp_path, "lsst.ts.utils", PLAIN)
    finder = f"""
import importlib.util
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == 'lsst.ts.utils':
            return importlib.util.spec_from_file_location(
                name, {str(tmp_path / LAYOUTS["lsst.ts.utils"])!r},
                submodule_search_locations=[{str((tmp_path / LAYOUTS["lsst.ts.utils"]).parent)!r}])
sys.meta_path.append(Finder)
"""
    assert origin("lsst.ts.utils", setup=finder) == "genuine"


def test_genuine_idlpp_is_used_if_it_is_installed(tmp_path: Path) -> None:
    genuine = tmp_path / "idlpp"
    genuine.write_text("#!/bin/sh\necho genuine $1\n")
    genuine.chmod(0o755)
    own = os.path.dirname(sys.executable)  # noqa: PTH120 (the folder's name as it is in PATH)

    def run(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return pace.run(
            [f"{own}/idlpp", *arguments],
            LIMIT_S,
            capture_output=True,
            text=True,
            env={"PATH": path},
        )

    assert run(f"{own}:{tmp_path}", "-v").stdout == "genuine -v\n"
    assert run(own, "-v").stdout.startswith("Cyclone DDS : 11.")
    assert run(own, "-S", "x.idl").returncode == 2
