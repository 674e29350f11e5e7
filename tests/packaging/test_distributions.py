"""The distributions: built from a clean export of this checkout and installed outside of it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lsst.ts.idl import get_idl_dir
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.tags import compatible_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from ccarchiver_sim import pace

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent.parent
TAG, VERSION = "v98.7.6", "98.7.6"
LIMIT_S = 120.0
GIT = [
    "git",
    "-c",
    "user.name=test",
    "-c",
    "user.email=test@localhost",
    "-c",
    "init.defaultBranch=main",
]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("ccarchiver_*/__init__.py"))
PROGRAMS = (
    "ccarchiver",
    "run_ccarchiver_sal",
    "run_ccarchiver_bridge",
    "run_ccarchiver_health",
    "run_ccarchiver_event_listener",
)
SAFE = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
"""The checkout may belong to another user, as in a container."""
LEFT_BY_TOOLS = re.compile(
    r"\.venv.*|__pycache__|\..*cache|\.hypothesis|.*\.egg-info|build|dist|results"
)
NOT_OURS = {"setuptools", "pip"}
PYTHONS = re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.py").read_text(encoding="utf-8"))
"""Supported versions of Python."""
RUN_ALL = """
import runpy, sys
for program in sys.argv[1:]:
    sys.argv = [program, "--version"]
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        assert not end.code, (program, end.code)
import ccarchiver_core.runtime.worker
print(ccarchiver_core.runtime.worker.__file__)
"""
"""Run programs one after another in one process, as most of their time is importing."""

pytestmark = pytest.mark.processes


def run(*argv: str | Path, cwd: Path, **env: str) -> str:
    """Run a program outside of this checkout; return its output."""
    words = [str(word) for word in argv]
    clean = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ} | {
        "LANG": "C.UTF-8"
    }
    done = pace.run(words, LIMIT_S, cwd=cwd, env=clean | env, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return str(done.stdout)


def sources() -> list[str]:
    """Return the files under version control; without git, all files that no tool creates."""
    if (ROOT / ".git").exists():
        listed = run(
            "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT, **SAFE
        )
        # Deleted files may still be listed.
        return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    kept = (
        path
        for path in files
        if not any(LEFT_BY_TOOLS.fullmatch(part) for part in path.parent.parts)
    )
    return [str(path) for path in kept if path.name != "_version.py"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the files under version control to a separate checkout with one tag."""
    folder = tmp_path_factory.mktemp("export")
    for name in sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    for words in (
        ["init", "--quiet"],
        ["add", "--all", "--force"],
        ["commit", "--quiet", "-m", "all"],
        ["tag", TAG],
    ):
        run(*GIT, *words, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def dist(export: Path) -> Path:
    run(export / "scripts" / "dist", cwd=export, PYTHON=sys.executable)
    assert run("git", "status", "--porcelain", cwd=export) == "", "the build leaves no new files"
    return export / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"ccarchiver-{VERSION}-py3-none-any.whl"


@pytest.fixture(scope="module")
def site(dist: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an environment with our wheels that borrows dependencies instead of downloading."""
    folder = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    wheels = [path for path in dist.glob("*.whl") if path != wheel]
    options = ("--no-index", "--no-deps", "--disable-pip-version-check", "--no-compile")
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        *options,
        wheel,
        *wheels,
        cwd=folder,
    )
    own = Path(
        run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
        ).strip()
    )
    lent = dict.fromkeys(path for path in sys.path if Path(path).name == "site-packages")
    (own / "lent.pth").write_text("\n".join(lent), encoding="utf-8")
    return folder


def test_distribution_version_is_that_of_the_tag(dist: Path) -> None:
    assert {path.name for path in dist.iterdir() if path.name.startswith("ccarchiver-")} == {
        f"ccarchiver-{VERSION}-py3-none-any.whl",
        f"ccarchiver-{VERSION}.tar.gz",
    }


def test_wheel_contains_all_run_time_files_and_no_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    run_time = {
        path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()
    }
    wanted = {str(path.relative_to(ROOT)) for path in run_time if "__pycache__" not in path.parts}
    tops = {name.split("/")[0] for name in names}

    assert {name for name in names if name.startswith("ccarchiver_")} == wanted | {
        "ccarchiver_core/_version.py"
    }
    assert tops == {*PACKAGES, f"ccarchiver-{VERSION}.dist-info", f"ccarchiver-{VERSION}.data"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert f"ccarchiver-{VERSION}.dist-info/licenses/LICENSE" in names


def test_wheel_contains_the_pages_that_the_package_links_to(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for page in ("alarms.md", "errors.md"):
            content = archive.read(f"ccarchiver_health/web/entries/{page}")
            assert content == (ROOT / "docs" / "operations" / page).read_bytes()


def test_sdist_contains_the_whole_project(dist: Path) -> None:
    with tarfile.open(dist / f"ccarchiver-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "LICENSE",
        "README.md",
        "Makefile",
        "supervisord.conf",
        "constraints.txt",
        "requirements.txt",
        "scripts/dist",
    } <= names
    assert {"tests/conftest.py", "middleware/ts-dds/src/dds.py", "CHANGELOG.md"} <= names


def test_each_program_runs_with_only_the_wheel_installed(site: Path) -> None:
    programs = [site / "bin" / program for program in PROGRAMS]
    *versions, imported = run(site / "bin" / "python", "-c", RUN_ALL, *programs, cwd=site).split()
    assert versions == [VERSION for _ in PROGRAMS]
    assert Path(imported).is_relative_to(site)
    assert "run_ccarchiver_bridge" in run(
        site / "bin" / "run_ccarchiver_bridge", "--help", cwd=site
    )


def test_every_wheel_supports_every_supported_python(dist: Path) -> None:
    assert PYTHONS[0] == "3.11"
    assert len(PYTHONS) > 2
    wheels = list(dist.glob("*.whl"))
    assert len(wheels) == 6
    for path in wheels:
        _, _, _, tags = parse_wheel_filename(path.name)
        allowed = metadata(path).requires_python
        assert allowed is not None, path.name
        for version in PYTHONS:
            minor = int(version.partition(".")[2])
            assert tags & set(compatible_tags((3, minor), f"cp3{minor}", ["any"])), (
                f"{path.name} on {version}"
            )
            assert allowed.contains(version), f"{path.name} on {version}"


def test_every_supported_python_finds_the_idl(dist: Path) -> None:
    [path] = dist.glob("ccarchiver_idl-*.whl")
    with zipfile.ZipFile(path) as archive:
        installed = {name.partition(".data/data/")[2] for name in archive.namelist()} - {""}
    files = [file.name for file in (ROOT / "middleware" / "ccarchiver-idl" / "idl").glob("*.idl")]
    folder = Path(get_idl_dir()).relative_to(sysconfig.get_path("data"))
    this = "python{}.{}".format(*sys.version_info)
    assert this in folder.parts, "the path depends on the version of Python"
    of_each = [str(folder).replace(this, f"python{version}") for version in PYTHONS]
    assert {f"{folder}/{name}" for folder in of_each for name in files} <= installed


def test_wheel_installs_the_files_that_a_site_copies(site: Path) -> None:
    share = site / "share" / "ccarchiver"
    files = [
        ROOT / "supervisord.conf",
        *(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
    ]
    assert len(files) > 5
    for path in files:
        assert (share / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_wheel_requires_everything_pinned_and_its_extra_the_stand_ins(
    dist: Path, wheel: Path
) -> None:
    wanted = metadata(wheel).requires_dist or []
    stand_ins = {str(path.name).split("-")[0] for path in dist.glob("*.whl") if path != wheel}
    asked = [
        it for it in wanted if it.marker is not None and it.marker.evaluate({"extra": "middleware"})
    ]
    constraints = (dist / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert {it.name.replace("-", "_") for it in asked} == stand_ins
    assert len(stand_ins) == 5
    built = {path.name.split("-")[0]: path.name.split("-")[1] for path in dist.glob("*.whl")}
    assert all(it.specifier.contains(built[it.name.replace("-", "_")]) for it in asked)
    pinned = {canonicalize_name(Requirement(line).name) for line in constraints if marks(line)}
    needed = closure(wanted) - {canonicalize_name(it.name) for it in asked}
    assert needed <= pinned
    assert len(needed) > 40


def metadata(wheel: Path) -> Metadata:
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Metadata.from_email(archive.read(name))


def marks(line: str) -> bool:
    """Return whether a constraint applies to this Python."""
    marker = Requirement(line).marker
    return marker is None or marker.evaluate()


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """Return the names of all direct and indirect requirements."""
    seen, left = set[tuple[str, str]](), [(it, "middleware") for it in wanted]
    while left:
        requirement, extra = left.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wish in requirement.extras or {""}:
            if (name, wish) not in seen:
                seen.add((name, wish))
                left += [(Requirement(words), wish) for words in requires(name) or []]
    return {name for name, _ in seen} - NOT_OURS
