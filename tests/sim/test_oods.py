from __future__ import annotations

import shutil
import socket
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from astropy.io import fits

from ccarchiver_core.config.settings import Settings
from ccarchiver_sim.butler.instrument import instrument_of
from ccarchiver_sim.butler.repository import Repository
from ccarchiver_sim.butler.sqlite_lock import DATABASE
from tests.sim import wire_samples
from tests.sim.oods_files import (
    IMAGE,
    bad_file,
    datasets,
    repository_of,
    request,
    write_file,
)
from tests.sim.peer_rig import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Peers, SiteFolder

REQUESTS = "cc_publish_to_oods"
REPORTS = "oods_publish_to_cc"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an empty repository once: each creation costs a third of a second of one core."""
    root = tmp_path_factory.mktemp("template") / "repository"
    Repository.open(root, instrument_of(Settings())).close()
    return root


@pytest.fixture(autouse=True)
def _repository(site: SiteFolder, template: Path) -> None:
    shutil.copytree(template, repository_of(site))


@pytest.fixture
def image_file(site: SiteFolder) -> Path:
    return write_file(site)


def test_oods_ingests_a_file_once_and_reports_it_each_time(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    for _ in range(2):
        archiver.send(REQUESTS, request(image_file))
    reports = [archiver.receive(REPORTS) for _ in range(2)]

    assert reports[0] == reports[1]
    assert reports[0] == {
        "MSG_TYPE": "IMAGE_IN_OODS",
        "CAMERA": "COMCAM",
        "ARCHIVER": "CCArchiver",
        "OBSID": IMAGE,
        "FILENAME": str(image_file),
        "RAFT": "22",
        "SENSOR": "S00",
        "STATUS_CODE": 0,
        "DESCRIPTION": f"OBSID {IMAGE}: file {image_file} ingested into OODS",
    }
    assert datasets(site) == {IMAGE: 1}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip_a_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2880 + 7] ^= 1  # the last block has only pixels
    path.write_bytes(content)


def replace_by_text(path: Path) -> None:
    path.write_text("no FITS file")


def test_oods_moves_damaged_files_away_and_reports_them(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("oods")
    for sensor, harm, reason in (
        ("S00", truncate, "cannot read it as FITS"),
        ("S01", flip_a_pixel, "its header says"),
        ("S02", replace_by_text, "cannot read it as FITS"),
    ):
        path = write_file(site, sensor)
        harm(path)
        expect_rejected(archiver, request(path, sensor), reason)
        assert not path.exists()
        assert bad_file(site, path).is_file()
    path = write_file(site, "S10")
    path.unlink()
    expect_rejected(archiver, request(path, "S10"), "No such file")
    assert datasets(site) == {}


def expect_rejected(archiver: ArchiverEnd, message: str, reason: str) -> None:
    archiver.send(REQUESTS, message)
    report = archiver.receive(REPORTS)
    assert report["STATUS_CODE"] == 1
    assert reason in str(report["DESCRIPTION"])


def without_obsid(path: Path) -> Path:
    fits.delval(path, "OBSID")
    return path


REJECTED: dict[str, tuple[Callable[[SiteFolder], Path], str]] = {
    "without OBSID": (lambda site: without_obsid(write_file(site)), "its header has no OBSID"),
    "without DAYOBS": (lambda site: write_file(site, DAYOBS=None), "its header has no DAYOBS"),
    "of another CCD": (
        lambda site: write_file(site, "S01"),
        "its header says CCD R22_S01, not R22_S00",
    ),
    "of an unknown exposure number": (
        lambda site: write_file(site, SEQNUM=735514),
        "its header has SEQNUM 735514",
    ),
    "with a name that the Butler cannot store": (
        lambda site: write_file(site, FILTER="f" * 60),
        "IntegrityError",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_oods_rejects_a_file_whose_header_does_not_fit(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, case: str
) -> None:
    write, reason = REJECTED[case]
    archiver.declare()
    path, good = write(site), write_file(site, "S12")
    # Both are in one batch: the good one is ingested nevertheless.
    archiver.send(REQUESTS, request(path))
    archiver.send(REQUESTS, request(good, "S12"))
    peers.start("oods")

    received = [archiver.receive(REPORTS) for _ in range(2)]
    reports = {str(report["SENSOR"]): report for report in received}
    assert reports["S00"]["STATUS_CODE"] == 1
    assert reason in str(reports["S00"]["DESCRIPTION"])
    assert bad_file(site, path).is_file()
    assert reports["S12"]["STATUS_CODE"] == 0
    assert datasets(site) == {IMAGE: 1}


def test_oods_rejects_a_file_of_another_image(
    archiver: ArchiverEnd, peers: Peers, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    expect_rejected(
        archiver,
        request(image_file, image="CC_O_20261122_000099"),
        f"its header says OBSID {IMAGE}, not CC_O_20261122_000099",
    )


def test_oods_rejects_an_unknown_detector_and_a_conflicting_exposure(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    archiver.send(REQUESTS, request(image_file))
    assert archiver.receive(REPORTS)["STATUS_CODE"] == 0
    unknown = write_file(site, raft="99")
    expect_rejected(
        archiver, request(unknown).replace("RAFT: '22'", "RAFT: '99'"), "has no detector R99_S00"
    )
    conflict = write_file(site, "S01", EXPTIME=30.0)
    expect_rejected(archiver, request(conflict, "S01"), "exposure_time 1.0, not 30.0")
    assert bad_file(site, conflict).is_file()
    assert datasets(site) == {IMAGE: 1}


def test_oods_moves_no_file_outside_of_its_staging_tree(
    archiver: ArchiverEnd, peers: Peers, tmp_path: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    (tmp_path / "important").write_text("not an image", encoding="utf-8")
    expect_rejected(archiver, request(tmp_path / "important"), "cannot read it as FITS")
    assert (tmp_path / "important").is_file()


def test_oods_ingests_what_waits_in_one_transaction(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    for sensor in wire_samples.SENSORS:
        archiver.send(REQUESTS, request(write_file(site, sensor), sensor))
    # The OODS starts when all requests are in the queue: they are delivered together.
    oods = peers.start("oods")
    statuses = [archiver.receive(REPORTS)["STATUS_CODE"] for _ in wire_samples.SENSORS]

    assert statuses == [0] * 9
    transactions = oods.log.count("in one transaction")
    assert transactions < len(wire_samples.SENSORS)
    assert datasets(site) == {IMAGE: 9}


def test_oods_waits_for_a_locked_repository_then_reports_it_and_ingests_in_the_end(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods", "--report-after", "0.1")
    with closing(sqlite3.connect(repository_of(site) / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        archiver.send(REQUESTS, request(image_file))
        report = archiver.receive(REPORTS)
    assert report["STATUS_CODE"] == 1
    assert "is locked by another process" in str(report["DESCRIPTION"])
    assert archiver.receive(REPORTS)["STATUS_CODE"] == 0
    assert image_file.is_file()
    assert datasets(site) == {IMAGE: 1}


def test_oods_that_ends_while_it_waits_leaves_the_request_to_the_next_one(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, image_file: Path
) -> None:
    archiver.declare()
    first = peers.start("oods", "--report-after", "0")
    with closing(sqlite3.connect(repository_of(site) / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        archiver.send(REQUESTS, request(image_file))
        assert archiver.receive(REPORTS)["STATUS_CODE"] == 1
        assert first.stop() == 0
    peers.start("oods")

    assert archiver.receive(REPORTS)["STATUS_CODE"] == 0
    assert datasets(site) == {IMAGE: 1}


def test_oods_options_select_the_behaviour_of_other_releases(
    archiver: ArchiverEnd, peers: Peers, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods", "--no-raft", "--legacy-status", "--duplicate")
    archiver.send(REQUESTS, request(image_file))

    for _ in range(2):
        report = archiver.receive(REPORTS)
        assert report["MSG_TYPE"] == "CC_FILE_INGEST_REQUEST"
        assert "RAFT" not in report
        assert "SENSOR" not in report


def test_oods_still_answers_after_invalid_messages(
    archiver: ArchiverEnd, peers: Peers, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    for poison in (b"", b"{unclosed", b"MSG_TYPE: NOT_KNOWN", b"MSG_TYPE: CC_FILE_INGEST_REQUEST"):
        archiver.send(REQUESTS, poison)
    archiver.send(REQUESTS, request(image_file))

    assert archiver.receive(REPORTS)["STATUS_CODE"] == 0


def test_oods_that_cannot_open_its_repository_ends_with_the_reason(
    peers: Peers, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "butler"
    oods = peers.start("oods", "--repository", str(path), wait_for_event=None)
    oods.wait_logged(f"oods: the Butler repository {path} cannot be written")
    assert oods.process.wait_ended(LIMIT_S) == 1


@pytest.mark.parametrize("address", ["foo", "sqlite:///x", "postgresql://u:secret@h:port/d"])
def test_oods_rejects_a_registry_that_is_no_postgresql_database_in_one_line(
    peers: Peers, tmp_path: Path, address: str
) -> None:
    path = tmp_path / "butler"
    oods = peers.start(
        "oods", "--repository", str(path), "--registry", address, wait_for_event=None
    )
    assert oods.process.wait_ended(LIMIT_S) == 1
    [line] = oods.log.splitlines()
    assert line.startswith("oods: --registry: ")
    assert line.endswith("; write postgresql://USER@HOST/DATABASE")
    assert "secret" not in line
    assert not path.exists()


def test_oods_whose_postgresql_does_not_answer_names_its_server(
    peers: Peers, tmp_path: Path
) -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as unused:
        # Bound and not listening: no other program gets the port, and a connection is refused.
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        oods = peers.start(
            "oods",
            "--repository",
            str(tmp_path / "butler"),
            "--registry",
            f"postgresql://oods:secret@{address}/butler",
            wait_for_event=None,
        )
        assert oods.process.wait_ended(LIMIT_S) == 1
    [line] = oods.log.splitlines()
    assert line.startswith(f"oods: the registry of the Butler repository {tmp_path / 'butler'}, ")
    assert f"PostgreSQL database butler at {address}, " in line
    assert "--repository selects another one" not in line
    assert "secret" not in line
