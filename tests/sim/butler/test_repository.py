"""Ingestion into a real Butler repository."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from lsst.daf.butler import Butler

from ccarchiver_sim.butler.errors import (
    RegistryUnavailableError,
    RepositoryError,
    RepositoryUnavailableError,
)
from ccarchiver_sim.butler.query import datasets_by_image
from ccarchiver_sim.butler.repository import Repository, Status
from ccarchiver_sim.butler.sqlite_lock import DATABASE
from tests.sim.butler.raws import comcam, image, obsid_of, raw_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLLECTION = "LSSTComCam/raw/all"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an empty repository once; a copy is a repository as well."""
    root = tmp_path_factory.mktemp("template") / "repository"
    Repository.open(root, comcam()).close()
    return root


@pytest.fixture
def root(tmp_path: Path, template: Path) -> Path:
    return shutil.copytree(template, tmp_path / "repository")


@pytest.fixture
def repository(root: Path) -> Iterator[Repository]:
    with Repository.open(root, comcam()) as opened:
        yield opened


def counts(repository: Repository) -> dict[str, int]:
    return dict(datasets_by_image(repository.root, COLLECTION))


def test_files_of_several_images_become_datasets_where_they_are(
    repository: Repository, tmp_path: Path
) -> None:
    files = [*image(tmp_path / "raws", 1), *image(tmp_path / "raws", 2)]
    results = repository.ingest(files)

    assert {result.status for result in results} == {Status.INGESTED}
    assert counts(repository) == {obsid_of(1): 9, obsid_of(2): 9}
    assert all(file.path.is_file() for file in files)


def test_anyone_reads_an_image_from_the_repository(repository: Repository, tmp_path: Path) -> None:
    repository.ingest([raw_file(tmp_path / "raws", 7, "S11")])
    with Butler.from_config(str(repository.root)) as butler:
        units = butler.get(
            "raw",
            instrument="LSSTComCam",
            detector=4,
            exposure=2026112200007,
            collections=COLLECTION,
        )

    assert units[0].header["OBSID"] == obsid_of(7)
    assert units[0].data.mean() == 7


def test_same_file_is_known_the_second_time(repository: Repository, tmp_path: Path) -> None:
    files = image(tmp_path / "raws", 1)
    repository.ingest(files)
    results = repository.ingest([*files, raw_file(tmp_path / "raws", 2), files[0]])

    assert [result.status for result in results] == [
        *[Status.KNOWN] * 9,
        Status.INGESTED,
        Status.KNOWN,
    ]
    assert counts(repository) == {obsid_of(1): 9, obsid_of(2): 1}


def test_same_file_twice_in_one_batch_is_one_dataset(
    repository: Repository, tmp_path: Path
) -> None:
    file = raw_file(tmp_path / "raws", 1)
    results = repository.ingest([file, file])
    assert [result.status for result in results] == [Status.INGESTED, Status.KNOWN]
    assert counts(repository) == {obsid_of(1): 1}


def test_second_file_of_a_ccd_is_known_only_if_it_is_equal(
    repository: Repository, tmp_path: Path
) -> None:
    first = raw_file(tmp_path / "raws", 1)
    repository.ingest([first])
    equal, other = tmp_path / "equal.fits", tmp_path / "other.fits"
    shutil.copy(first.path, equal)
    other.write_bytes(first.path.read_bytes().replace(b"r_03", b"r_04"))
    results = repository.ingest([replace(first, path=equal), replace(first, path=other)])

    assert [result.status for result in results] == [Status.KNOWN, Status.REJECTED]
    assert results[1].text == f"the Butler has it as {first.path} with other content"


def test_file_whose_exposure_has_other_metadata_is_rejected(
    repository: Repository, tmp_path: Path
) -> None:
    repository.ingest([raw_file(tmp_path / "raws", 1)])
    results = repository.ingest(
        [
            raw_file(tmp_path / "raws", 1, "S01", EXPTIME=2.0),
            raw_file(tmp_path / "raws", 1, "S02"),
            raw_file(tmp_path / "raws", 2),
        ]
    )

    assert [result.status for result in results] == [
        Status.REJECTED,
        Status.INGESTED,
        Status.INGESTED,
    ]
    assert results[0].text.startswith("the Butler knows exposure 2026112200001 with other metadata")
    assert "exposure_time 1.0, not 2.0" in results[0].text
    assert counts(repository) == {obsid_of(1): 2, obsid_of(2): 1}


def test_conflict_between_two_files_of_one_batch_rejects_the_second(
    repository: Repository, tmp_path: Path
) -> None:
    results = repository.ingest(
        [
            raw_file(tmp_path / "raws", 1, "S00"),
            raw_file(tmp_path / "raws", 1, "S01", OBSID=obsid_of(2)),
        ]
    )
    assert [result.status for result in results] == [Status.INGESTED, Status.REJECTED]


def test_file_of_an_unknown_detector_is_rejected(repository: Repository, tmp_path: Path) -> None:
    file = raw_file(tmp_path / "raws", 1)
    [result] = repository.ingest([replace(file, detector="R99_S00")])
    assert result.status is Status.REJECTED
    assert result.text == "LSSTComCam has no detector R99_S00, only the 9 of the site file"
    assert counts(repository) == {}


def test_repository_locked_by_another_process_is_unavailable_until_it_is_released(
    repository: Repository, tmp_path: Path
) -> None:
    files = image(tmp_path / "raws", 1)
    with closing(sqlite3.connect(repository.root / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RepositoryUnavailableError, match="is locked by another process"):
            repository.ingest(files)
    assert {result.status for result in repository.ingest(files)} == {Status.INGESTED}


def test_missing_file_leaves_the_repository_and_the_other_files_as_they_were(
    repository: Repository, tmp_path: Path
) -> None:
    files = image(tmp_path / "raws", 1)
    files[4].path.unlink()
    with pytest.raises(RepositoryUnavailableError):
        repository.ingest(files)
    assert counts(repository) == {}
    assert sum(file.path.exists() for file in files) == 8


def test_opening_twice_and_by_two_processes_finds_the_same_repository(
    root: Path, tmp_path: Path
) -> None:
    with Repository.open(root, comcam()) as first, Repository.open(root, comcam()) as second:
        first.ingest([raw_file(tmp_path / "raws", 1, "S00")])
        second.ingest([raw_file(tmp_path / "raws", 1, "S01"), raw_file(tmp_path / "raws", 2)])
        assert counts(first) == {obsid_of(1): 2, obsid_of(2): 1}


def test_repository_with_other_detectors_of_the_same_camera_is_refused(root: Path) -> None:
    other = comcam()
    renamed = replace(other.detectors[0], name="S99")
    with pytest.raises(RepositoryError, match="another instrument LSSTComCam than the site file"):
        Repository.open(root, replace(other, detectors=(renamed, *other.detectors[1:])))


def test_repository_that_cannot_be_created_names_its_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RepositoryUnavailableError, match="cannot be written"):
        Repository.open(tmp_path / "file" / "repository", comcam())


def test_file_with_the_login_that_others_can_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    file = tmp_path / "db-auth.yaml"
    file.write_text("[]", encoding="utf-8")
    file.chmod(0o644)
    monkeypatch.setenv("LSST_DB_AUTH", str(file))

    with pytest.raises(RegistryUnavailableError, match=f"{file} has incorrect permissions"):
        Repository.open(tmp_path / "new", comcam(), "postgresql://oods@127.0.0.1:1/butler")
