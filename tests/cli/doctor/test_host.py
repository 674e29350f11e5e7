"""The checks of this host: files, disk, clock, DDS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli.doctor import clock, dds, files, storage
from ccarchiver_cli.doctor.finding import Finding, Level
from ccarchiver_cli.doctor.site import Site, read_site
from ccarchiver_sim import pace
from tests.cli.doctor.doctor_helpers import bad, look, only, site_of, write_credentials

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = Site(None)
PREFIX = "LSST_DDS_PARTITION_PREFIX"


# ---- configuration and credentials


def test_a_wrong_site_file_is_told_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ccarchiver_config.yaml"
    path.write_text("ROOT:\n  REDIS_PORT: 0\n  NO_SUCH_KEY: 1\n", encoding="utf-8")
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    findings = look(files.configuration, read_site())
    assert [one.level for one in findings] == [Level.FAILURE] * 2
    assert {one.found.split(": ")[0] for one in findings} == {f"{path}:2", f"{path}:3"}


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o755, 0o600), (0o700, 0o644)])
def test_credentials_that_others_can_read_and_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_mode: int, file_mode: int
) -> None:
    path = write_credentials(tmp_path / "credentials", "archiver", "secret")
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(path.parent))
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    finding = only(look(files.credentials, NOWHERE))
    assert finding.level is Level.FAILURE
    command, mode, target = finding.remedy.split()
    assert command == "chmod"
    os.chmod(target, int(mode, 8))  # noqa: PTH101  as typed
    good = only(look(files.credentials, NOWHERE))
    assert good.level is Level.OK
    assert "user archiver" in good.found
    assert "secret" not in good.found


def test_missing_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(tmp_path / "none"))
    finding = only(look(files.credentials, NOWHERE))
    assert finding.level is Level.FAILURE
    assert "no such file" in finding.found


# ---- disk


def trees(tmp_path: Path, **changes: object) -> Site:
    archive: dict[str, object] = {}
    for name in ("FORWARDER_STAGING", "OODS_STAGING", "DBB_STAGING"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        archive[name] = str(folder)
    return site_of(ARCHIVE=archive | changes)


def no_room(findings: list[Finding]) -> list[Finding]:
    """Leave out what is said of the room on this very machine."""
    return [one for one in findings if "left" not in one.found]


def test_staging_trees_as_they_have_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LITTLE_IMAGES", 0)
    monkeypatch.setattr(storage, "FEW_IMAGES", 0)
    finding = only(look(storage.staging, trees(tmp_path)))
    assert finding.level is Level.OK
    assert "on one file system; room for" in finding.found


def test_a_staging_tree_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    finding = only(bad(no_room(look(storage.staging, trees(tmp_path, DBB_STAGING=str(missing))))))
    assert finding.level is Level.FAILURE
    assert finding.found == f"DBB_STAGING {missing}: no such directory"


def test_staging_trees_on_two_file_systems(tmp_path: Path) -> None:
    findings = no_room(look(storage.staging, trees(tmp_path, OODS_STAGING="/dev/shm")))  # noqa: S108  another one
    assert "several file systems" in only(one for one in findings if one.level is Level.FAILURE).found


@pytest.mark.parametrize(("little", "few", "level"), [(10**9, 0, Level.WARNING), (10**9, 10**9, Level.FAILURE)])
def test_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little: int, few: int, level: Level) -> None:
    monkeypatch.setattr(storage, "LITTLE_IMAGES", little)
    monkeypatch.setattr(storage, "FEW_IMAGES", few)
    findings = look(storage.staging, trees(tmp_path))
    assert [one.level for one in findings] == [level] * 3
    assert all("images left" in one.found for one in findings)


def test_staging_trees_of_another_host_are_not_looked_at(tmp_path: Path) -> None:
    finding = only(look(storage.staging, trees(tmp_path, ARCHIVE_IP="203.0.113.7", ARCHIVE_LOGIN="ARC")))
    assert finding.level is Level.OK
    assert "on another host (ARC@203.0.113.7), not looked at" in finding.found


def test_log_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(look(storage.logs, site_of())).level is Level.WARNING
    assert (
        only(no_room(look(storage.logs, site_of(LOGGING_DIR=str(tmp_path / "no"))))).remedy
        == f"install -d {tmp_path}/no"
    )
    monkeypatch.setattr(storage, "LITTLE_LOG", 0)
    monkeypatch.setattr(storage, "FEW_LOG", 0)
    assert only(look(storage.logs, site_of(LOGGING_DIR=str(tmp_path)))).level is Level.OK
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    finding = only(look(storage.logs, site_of(LOGGING_DIR=str(tmp_path))))
    assert finding.level is Level.FAILURE
    assert finding.remedy.startswith("chown ")


# ---- clock


def test_this_hosts_clock() -> None:
    finding = only(look(clock.tai, NOWHERE))
    assert finding.level is not Level.FAILURE
    assert "TAI - UTC is 37 s" in finding.found


@pytest.mark.parametrize(
    ("used", "kernel", "days_left", "level", "text"),
    [
        (37.0, 37.0, 100.0, Level.OK, "by kernel and table"),
        (37.0, 0.0, 100.0, Level.OK, "the kernel has not been told"),
        (37.0, 35.0, 100.0, Level.WARNING, "but 35 s by the kernel"),
        (37.0, 37.0, -3.0, Level.WARNING, "ended 3 days ago"),
        (0.0, 0.0, 100.0, Level.FAILURE, "the leap second table says 37 s"),
    ],
)
def test_clocks_that_differ(used: float, kernel: float, days_left: float, level: Level, text: str) -> None:
    finding = clock.evaluate_tai(used=used, table=37.0, kernel=kernel, days_left=days_left)
    assert finding.level is level
    assert text in finding.found


def test_a_table_that_ended_stops_the_observatorys_own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from lsst.ts import utils  # noqa: PLC0415  astropy takes its time

    def refuse(_utc: float) -> float:
        raise ValueError("table expired")

    monkeypatch.setattr(utils, "tai_from_utc_unix", refuse)
    finding = only(look(clock.tai, NOWHERE))
    assert finding.level is Level.FAILURE
    assert "SAL cannot tell the time: table expired" in finding.found


# ---- DDS


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({}, f"{PREFIX} is not set"),
        ({PREFIX: "summit", "LSST_DDS_DOMAIN_ID": "231"}, "LSST_DDS_DOMAIN_ID is '231'"),
        ({PREFIX: "summit", "LSST_DDS_DOMAIN_ID": "zero"}, "LSST_DDS_DOMAIN_ID is 'zero'"),
        ({PREFIX: "summit", "LSST_DDS_OWNERSHIP": "mine"}, "LSST_DDS_OWNERSHIP is 'mine'"),
    ],
)
def test_wrong_environments(environ: dict[str, str], text: str) -> None:
    assert text in only(dds.evaluate_environment("dds.environment", environ)).found


def test_a_right_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX, "summit")
    finding = only(look(dds.environment, NOWHERE))
    assert finding.level is Level.OK
    assert "partition prefix summit, domain 0, by default" in finding.found


@pytest.mark.parametrize("interface", ["lo", "127.0.0.1", ""])
def test_loopback(monkeypatch: pytest.MonkeyPatch, interface: str) -> None:
    monkeypatch.setattr(dds, "WAIT", pace.scaled(dds.WAIT))
    monkeypatch.setenv("LSST_DDS_INTERFACE", interface)
    finding = only(look(dds.interface, NOWHERE))
    assert finding.level is Level.OK
    assert "lo (127.0.0.1) is up, multicast comes back" in finding.found


def test_an_interface_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSST_DDS_INTERFACE", "eth99")
    finding = only(look(dds.interface, NOWHERE))
    assert finding.level is Level.FAILURE
    assert "LSST_DDS_INTERFACE is eth99: this host has no such interface" in finding.found


def test_multicast_through_an_address_that_is_not_ours() -> None:
    assert dds.multicast_trouble("203.0.113.7")
    assert not dds.multicast_trouble("127.0.0.1")


def test_cyclones_own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLONEDDS_URI", f"file://{tmp_path}/none.xml")
    assert only(look(dds.interface, NOWHERE)).level is Level.FAILURE
    (tmp_path / "none.xml").touch()
    assert only(look(dds.interface, NOWHERE)).level is Level.OK


def test_idl() -> None:
    assert only(look(dds.idl, NOWHERE)).level is Level.OK, "without a site it looks for ComCam's"
    finding = only(look(dds.idl, site_of(SAL={"CAMERA": "NoSuchThing"})))
    assert finding.level is Level.FAILURE
    assert "has no IDL for NoSuchThing" in finding.found
