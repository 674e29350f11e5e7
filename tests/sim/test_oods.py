from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.peers.forwarder import fitsfile
from ccarchiver_sim.peers.forwarder.sensors import Sensor
from tests.sim import wire_samples

if TYPE_CHECKING:
    from tests.sim.peer_rig import ArchiverEnd, Peers, SiteFolder


def write_file(folder: Path, sensor: str) -> Path:
    path = folder / "linked" / f"{wire_samples.IMAGE}-R22{sensor}.fits"
    fitsfile.write(
        path, wire_samples.IMAGE, Sensor(raft="22", name=sensor), [("EXPTIME", 1.0, "")], "MD5"
    )
    return path


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    return write_file(tmp_path, "S00")


def rows(site: SiteFolder) -> list[tuple[str, str, str, str, int]]:
    with closing(
        sqlite3.connect(site.settings.archive.oods_staging / "oods_catalogue.sqlite3")
    ) as database:
        return database.execute(
            "SELECT filename, obsid, raft, sensor, requests FROM files"
        ).fetchall()


def test_oods_ingests_a_file_once_and_reports_it_each_time(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    for _ in range(2):
        archiver.send("cc_publish_to_oods", wire_samples.ingest_request(str(image_file)))
    reports = [archiver.receive("oods_publish_to_cc") for _ in range(2)]

    assert reports[0] == reports[1]
    assert reports[0] == {
        "MSG_TYPE": "IMAGE_IN_OODS",
        "CAMERA": "COMCAM",
        "ARCHIVER": "CCArchiver",
        "OBSID": wire_samples.IMAGE,
        "FILENAME": str(image_file),
        "RAFT": "22",
        "SENSOR": "S00",
        "STATUS_CODE": 0,
        "DESCRIPTION": f"OBSID {wire_samples.IMAGE}: file {image_file} ingested into OODS",
    }
    assert rows(site) == [(str(image_file), wire_samples.IMAGE, "22", "S00", 2)]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip_a_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2880 + 7] ^= 1
    path.write_bytes(content)


def test_oods_reports_damaged_and_missing_files(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, tmp_path: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    for sensor, harm, reason in (
        ("S00", truncate, "cannot read it as FITS"),
        ("S01", flip_a_pixel, "its header says"),
        ("S02", Path.unlink, "No such file"),
    ):
        path = write_file(tmp_path, sensor)
        harm(path)
        archiver.send("cc_publish_to_oods", wire_samples.ingest_request(str(path), sensor=sensor))
        report = archiver.receive("oods_publish_to_cc")
        assert (report["STATUS_CODE"], report["SENSOR"]) == (1, sensor)
        assert reason in str(report["DESCRIPTION"])
    assert rows(site) == []


def test_oods_rejects_a_file_of_another_image(
    archiver: ArchiverEnd, peers: Peers, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    archiver.send(
        "cc_publish_to_oods",
        wire_samples.ingest_request(str(image_file), image="CC_O_20261122_000099"),
    )

    assert "its header says OBSID" in str(archiver.receive("oods_publish_to_cc")["DESCRIPTION"])


def test_oods_options_select_the_behaviour_of_other_releases(
    archiver: ArchiverEnd, peers: Peers, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods", "--no-raft", "--legacy-status", "--duplicate")
    archiver.send("cc_publish_to_oods", wire_samples.ingest_request(str(image_file)))

    for _ in range(2):
        report = archiver.receive("oods_publish_to_cc")
        assert report["MSG_TYPE"] == "CC_FILE_INGEST_REQUEST"
        assert "RAFT" not in report
        assert "SENSOR" not in report


def test_oods_still_answers_after_invalid_messages(
    archiver: ArchiverEnd, peers: Peers, image_file: Path
) -> None:
    archiver.declare()
    peers.start("oods")
    for poison in (b"", b"{unclosed", b"MSG_TYPE: NOT_KNOWN", b"MSG_TYPE: CC_FILE_INGEST_REQUEST"):
        archiver.send("cc_publish_to_oods", poison)
    archiver.send("cc_publish_to_oods", wire_samples.ingest_request(str(image_file)))

    assert archiver.receive("oods_publish_to_cc")["STATUS_CODE"] == 0
