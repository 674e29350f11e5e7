from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.config.settings import Settings
from ccarchiver_sim import pace
from ccarchiver_sim.butler.check import check_butler
from ccarchiver_sim.butler.place import repository_of
from ccarchiver_sim.butler.repository import Repository
from tests.sim.butler.raws import comcam, image, obsid_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "developer-guide"
LIMIT_S = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"ARCHIVE": {"OODS_STAGING": str(tmp_path / "oods")}})


@pytest.fixture
def repository(settings: Settings) -> Iterator[Repository]:
    with Repository.open(repository_of(settings), comcam()) as opened:
        yield opened


def test_check_counts_the_datasets_of_each_exposure(
    settings: Settings, repository: Repository, tmp_path: Path
) -> None:
    repository.ingest([*image(tmp_path, 1), *image(tmp_path, 2)[:8]])
    check = check_butler(settings, [obsid_of(1), obsid_of(2), obsid_of(3)])

    assert not check.is_complete
    assert check.lines == [
        "Butler: 17 of 27 datasets in LSSTComCam/raw/all",
        f"  {obsid_of(2)}: 8 of 9",
        f"  {obsid_of(3)}: 0 of 9",
    ]
    assert check_butler(settings, [obsid_of(1)]).is_complete


@pytest.mark.processes
def test_command_lists_a_row_for_each_ccd(
    settings: Settings, repository: Repository, tmp_path: Path
) -> None:
    repository.ingest(image(tmp_path, 1))
    argv = shlex.split(check_butler(settings, [obsid_of(1)]).command)
    done = pace.run([str(ROOT / argv[0]), *argv[1:]], LIMIT_S, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2026112200001") == 9
    [heading] = [line for line in done.stdout.splitlines() if line.startswith("type ")]
    for page in ("butler.md", "simulators.md"):
        assert heading.rstrip() in (GUIDE / page).read_text(encoding="utf-8")


@pytest.mark.processes
def test_butler_program_lists_the_exposures(repository: Repository, tmp_path: Path) -> None:
    repository.ingest([*image(tmp_path, 1), *image(tmp_path, 2)])
    argv = [ROOT / ".venv/bin/butler", "query-dimension-records", repository.root, "exposure"]
    done = pace.run([str(word) for word in argv], LIMIT_S, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert [done.stdout.count(f" {number} ") for number in (2026112200001, 2026112200002)] == [1, 1]
