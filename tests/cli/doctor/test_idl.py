"""`ccarchiver doctor` compares the IDL at hand with what the archiver needs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli.doctor import idl
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_core.config.site_sections import SalNames
from ccarchiver_core.sal_interface.idl_file import read_idl
from ccarchiver_core.sal_interface.needs import needs_of
from ccarchiver_core.sal_interface.suffix import suffix_of
from interfaces.__main__ import COMMITTED_IDL
from interfaces.generate import write
from interfaces.release import Release
from interfaces.salxml import load_xml
from tests.interfaces.test_salxml import XML

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_cli.doctor.finding import Finding

NEEDS = needs_of(SalNames())
ARCHIVER = "sal_revCoded_CCArchiver.idl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the IDL files of this project."""
    for path in COMMITTED_IDL.glob("*CC*.idl"):
        shutil.copy(path, tmp_path)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def only_finding(folder: Path) -> Finding:
    (finding,) = idl.findings(folder, NEEDS)
    return finding


def test_idl_of_the_project_is_good(folder: Path) -> None:
    finding = only_finding(folder)
    assert finding.level is Level.OK
    assert f"CCArchiver, CCCamera, CCHeaderService in {folder}" in finding.found
    assert "XML 10.1.0" in finding.found
    assert "left out: event settingVersions" in finding.found


def test_missing_file_is_reported(folder: Path) -> None:
    (folder / ARCHIVER).unlink()
    finding = only_finding(folder)
    assert finding.level is Level.FAILURE
    assert f"no IDL of CCArchiver: {folder}/{ARCHIVER}" in finding.found
    assert "the CSC does not start" in finding.found
    assert "make_idl_files.py" in finding.remedy


def test_file_that_is_no_idl_is_reported(folder: Path) -> None:
    (folder / ARCHIVER).write_text("")
    finding = only_finding(folder)
    assert finding.level is Level.FAILURE
    assert "has no topics" in finding.found


def test_missing_topic_is_reported(folder: Path) -> None:
    change(folder / ARCHIVER, "logevent_imageInOODS_", "logevent_imageInDisk_")
    finding = only_finding(folder)
    assert finding.level is Level.FAILURE
    assert "the IDL of CCArchiver lacks event imageInOODS" in finding.found
    assert "XML release from 10.0 to 15.0" in finding.remedy


def test_suffix_that_does_not_belong_to_the_fields_is_reported(folder: Path) -> None:
    change(folder / ARCHIVER, "string<5>\traft;", "string<6>\traft;")
    finding = only_finding(folder)
    assert finding.level is Level.WARNING
    assert "the suffix of 2 of 19 topics, such as logevent_imageRetrieval" in finding.found


def test_files_of_different_releases_are_reported(folder: Path) -> None:
    change(folder / ARCHIVER, "XML_VERSION=10.1.0", "XML_VERSION=15.0.0")
    finding = only_finding(folder)
    assert finding.level is Level.WARNING
    assert "XML 15.0.0 (CCArchiver)" in finding.found
    assert "XML 10.1.0 (CCCamera, CCHeaderService)" in finding.found


@pytest.mark.parametrize("release", Release)
def test_suffixes_are_computed_as_by_the_generator(tmp_path: Path, release: Release) -> None:
    write(load_xml(XML), "x", release, tmp_path)
    found = read_idl(tmp_path, "Test")
    assert any(topic.constants for topic in found.topics.values())
    for topic in found.topics.values():
        assert suffix_of(found, topic) == topic.suffix, topic.name
