"""The checks of this host: files, disk, clock, DDS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli.doctor import clock, dds, files, storage
from ccarchiver_cli.doctor.finding import Finding, Level
from ccarchiver_cli.doctor.site import Site, read_site
from ccarchiver_sim import pace
from tests.cli.doctor.doctor_helpers import bad, only, run_check, site_of, write_credentials

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = Site(None)
PREFIX = "LSST_DDS_PARTITION_PREFIX"


# ---- configuration and credentials


def test_wrong_site_file_is_reported_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ccarchiver_config.yaml"
    path.write_text("ROOT:\n  REDIS_PORT: 0\n  NO_SUCH_KEY: 1\n", encoding="utf-8")
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    findings = run_check(files.configuration, read_site())
    assert [one.level for one in findings] == [Level.FAILURE] * 2
    assert {one.found.split(": ")[0] for one in findings} == {f"{path}:2", f"{path}:3"}


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o755, 0o600), (0o700, 0o644)])
def test_readable_credentials_are_reported_and_the_remedy_corrects_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_mode: int, file_mode: int
) -> None:
    path = write_credentials(tmp_path / "credentials", "archiver", "secret")
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(path.parent))
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    finding = only(run_check(files.credentials, NOWHERE))
    assert finding.level is Level.FAILURE
    command, mode, target = finding.remedy.split()
    assert command == "chmod"
    os.chmod(target, int(mode, 8))  # noqa: PTH101  as typed
    good = only(run_check(files.credentials, NOWHERE))
    assert good.level is Level.OK
    assert "user archiver" in good.found
    assert "secret" not in good.found


def test_missing_credentials_file_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(tmp_path / "none"))
    finding = only(run_check(files.credentials, NOWHERE))
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
    """Remove the findings about the disk space of this machine."""
    return [one for one in findings if "left" not in one.found]


def test_correct_staging_trees_are_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LITTLE_IMAGES", 0)
    monkeypatch.setattr(storage, "FEW_IMAGES", 0)
    finding = only(run_check(storage.staging, trees(tmp_path)))
    assert finding.level is Level.OK
    assert "on one file system; room for" in finding.found


def test_missing_staging_tree_is_reported(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    finding = only(
        bad(no_room(run_check(storage.staging, trees(tmp_path, DBB_STAGING=str(missing)))))
    )
    assert finding.level is Level.FAILURE
    assert finding.found == f"DBB_STAGING {missing}: no such directory"


def test_staging_trees_on_two_file_systems_are_reported(tmp_path: Path) -> None:
    findings = no_room(run_check(storage.staging, trees(tmp_path, OODS_STAGING="/dev/shm")))  # noqa: S108  another file system
    assert (
        "several file systems" in only(one for one in findings if one.level is Level.FAILURE).found
    )


@pytest.mark.parametrize(
    ("little", "few", "level"), [(10**9, 0, Level.WARNING), (10**9, 10**9, Level.FAILURE)]
)
def test_low_disk_space_is_reported_with_a_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little: int, few: int, level: Level
) -> None:
    monkeypatch.setattr(storage, "LITTLE_IMAGES", little)
    monkeypatch.setattr(storage, "FEW_IMAGES", few)
    findings = run_check(storage.staging, trees(tmp_path))
    assert [one.level for one in findings] == [level] * 3
    assert all("images left" in one.found for one in findings)


def test_staging_trees_of_another_host_are_not_checked(tmp_path: Path) -> None:
    finding = only(
        run_check(storage.staging, trees(tmp_path, ARCHIVE_IP="203.0.113.7", ARCHIVE_LOGIN="ARC"))
    )
    assert finding.level is Level.OK
    assert "on another host (ARC@203.0.113.7), not checked" in finding.found


def test_log_directory_must_exist_and_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only(run_check(storage.logs, site_of())).level is Level.WARNING
    assert (
        only(no_room(run_check(storage.logs, site_of(LOGGING_DIR=str(tmp_path / "no"))))).remedy
        == f"install -d {tmp_path}/no"
    )
    monkeypatch.setattr(storage, "LITTLE_LOG", 0)
    monkeypatch.setattr(storage, "FEW_LOG", 0)
    assert only(run_check(storage.logs, site_of(LOGGING_DIR=str(tmp_path)))).level is Level.OK
    monkeypatch.setattr(os, "access", lambda *_: False)  # root can write everywhere
    finding = only(run_check(storage.logs, site_of(LOGGING_DIR=str(tmp_path))))
    assert finding.level is Level.FAILURE
    assert finding.remedy.startswith("chown ")


# ---- clock


def test_clock_check_reads_the_clock_of_this_host() -> None:
    finding = only(run_check(clock.tai, NOWHERE))
    assert finding.level is not Level.FAILURE
    assert "TAI - UTC is 37 s" in finding.found


@pytest.mark.parametrize(
    ("used", "kernel", "days_left", "level", "text"),
    [
        (37.0, 37.0, 100.0, Level.OK, "in the kernel and in the table"),
        (37.0, 0.0, 100.0, Level.OK, "the kernel has no offset"),
        (37.0, 35.0, 100.0, Level.WARNING, "but 35 s in the kernel"),
        (37.0, 37.0, -3.0, Level.WARNING, "expired 3 days ago"),
        (0.0, 0.0, 100.0, Level.FAILURE, "but 37 s in the leap second table"),
    ],
)
def test_tai_offset_and_leap_table_age_set_the_level(
    used: float, kernel: float, days_left: float, level: Level, text: str
) -> None:
    finding = clock.evaluate_tai(used=used, table=37.0, kernel=kernel, days_left=days_left)
    assert finding.level is level
    assert text in finding.found


def test_expired_leap_table_that_stops_salobj_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    from lsst.ts import utils  # noqa: PLC0415  importing astropy is slow

    def refuse(_utc: float) -> float:
        raise ValueError("table expired")

    monkeypatch.setattr(utils, "tai_from_utc_unix", refuse)
    finding = only(run_check(clock.tai, NOWHERE))
    assert finding.level is Level.FAILURE
    assert "SAL cannot compute the time: table expired" in finding.found


# ---- DDS


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({}, f"{PREFIX} is not set"),
        ({PREFIX: "summit", "LSST_DDS_DOMAIN_ID": "231"}, "LSST_DDS_DOMAIN_ID is '231'"),
        ({PREFIX: "summit", "LSST_DDS_DOMAIN_ID": "zero"}, "LSST_DDS_DOMAIN_ID is 'zero'"),
        ({PREFIX: "summit", "LSST_DDS_OWNERSHIP": "mine"}, "LSST_DDS_OWNERSHIP is 'mine'"),
        ({PREFIX: "summit", "LSST_DDS_PEER": "rti"}, "LSST_DDS_PEER is 'rti'"),
    ],
)
def test_wrong_dds_environment_is_reported(environ: dict[str, str], text: str) -> None:
    assert text in only(dds.evaluate_environment("dds.environment", environ)).found


@pytest.mark.parametrize(
    ("peer", "ownership", "text"),
    [
        ("", "", "peer cyclone by default, ownership shared by default"),
        ("OpenSplice", "", "peer opensplice, ownership ackcmd by default"),
        ("", "exclusive", "peer cyclone by default, ownership exclusive"),
        ("opensplice", "exclusive", "peer opensplice, ownership exclusive"),
    ],
)
def test_correct_dds_environment_is_ok_and_the_values_in_force_are_shown(
    peer: str, ownership: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX, "summit")
    monkeypatch.delenv("LSST_DDS_DOMAIN_ID", raising=False)
    monkeypatch.setenv("LSST_DDS_PEER", peer)
    monkeypatch.setenv("LSST_DDS_OWNERSHIP", ownership)
    finding = only(run_check(dds.environment, NOWHERE))
    assert finding.level is Level.OK
    assert f"partition prefix summit, domain 0 by default, {text}; for" in finding.found


@pytest.mark.parametrize("interface", ["lo", "127.0.0.1", ""])
def test_loopback_interface_is_ok(monkeypatch: pytest.MonkeyPatch, interface: str) -> None:
    monkeypatch.setattr(dds, "WAIT", pace.scaled(dds.WAIT))
    monkeypatch.setenv("LSST_DDS_INTERFACE", interface)
    finding = only(run_check(dds.interface, NOWHERE))
    assert finding.level is Level.OK
    assert "lo (127.0.0.1) is up, multicast comes back" in finding.found


def test_missing_network_interface_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSST_DDS_INTERFACE", "eth99")
    finding = only(run_check(dds.interface, NOWHERE))
    assert finding.level is Level.FAILURE
    assert "LSST_DDS_INTERFACE is eth99: this host has no such interface" in finding.found


def test_multicast_through_a_foreign_address_is_reported() -> None:
    assert dds.multicast_trouble("203.0.113.7")
    assert not dds.multicast_trouble("127.0.0.1")


def test_cyclonedds_uri_must_name_an_existing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLONEDDS_URI", f"file://{tmp_path}/none.xml")
    assert only(run_check(dds.interface, NOWHERE)).level is Level.FAILURE
    (tmp_path / "none.xml").touch()
    assert only(run_check(dds.interface, NOWHERE)).level is Level.OK
