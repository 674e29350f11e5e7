"""Tests of ``ccarchiver config``, run as a command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from ccarchiver_cli import config_listing, site_advisories
from ccarchiver_cli.main import make_app
from ccarchiver_core.config.settings import PLAINTEXT_VARIABLE, Settings, load_settings
from ccarchiver_core.config.site_file import SiteFile
from tests.cli.doctor.doctor_helpers import write_credentials
from tests.core.redis_helpers import DATA

if TYPE_CHECKING:
    from pathlib import Path

GOOD = DATA / "config" / "good_site_of_the_replaced_archiver.yaml"
BARE = DATA / "config" / "good_empty_root.yaml"
BAD = DATA / "config" / "bad_unknown_key.yaml"
COLUMNS = 80


def typed(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": str(COLUMNS)}).invoke(make_app("config"), ["config", *words])


@pytest.fixture(autouse=True)
def _plaintext_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment of a site with the old site file and brokers on other hosts."""
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "true")


@pytest.fixture
def in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a site file with credentials; return its path."""
    path = tmp_path / "ccarchiver_config.yaml"
    path.write_text(
        "ROOT:\n  ACK_TIMEOUT: 7\n"
        "  CSC:\n    BEACON:\n      SECONDS_TO_EXPIRE: 12\n"
        "  ATS: {WFS_RAFT: 22}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    write_credentials(tmp_path / "credentials", "archiver", "correct-horse-battery")
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(tmp_path / "credentials"))
    return path


def test_config_check_accepts_a_good_file() -> None:
    result = typed("check", str(GOOD))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{GOOD}: ok, 32 of ")
    notes = [line for line in result.stdout.splitlines() if line.startswith("note")]
    assert [" ".join(line.split(",")[0].split()) for line in notes] == [
        "note the connection to Redis at comcam-redis is not encrypted",
        "note the connection to RabbitMQ at comcam-broker is not encrypted",
    ]


def test_config_check_notes_a_missing_certificate(tmp_path: Path) -> None:
    path, ca = tmp_path / "site.yaml", tmp_path / "ca.pem"
    path.write_text(f"ROOT:\n  REDIS_TLS: {{USE: true, CA_FILE: {ca}}}\n", encoding="utf-8")
    result = typed("check", str(path))
    assert result.exit_code == 0, "another host may have it"
    output = " ".join(result.stdout.split())
    assert f"note on this host: REDIS_TLS.CA_FILE: {ca}: cannot be read" in output


def test_config_check_prints_a_line_for_each_problem_and_exits_with_the_config_code(
    tmp_path: Path,
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "ROOT:\n  ACK_TIMEOUT: soon\n  REDIS_PORT: 0\n  NO_SUCH_KEY: 1\n", encoding="utf-8"
    )
    result = typed("check", str(path))
    assert result.exit_code == 78
    lines = sorted(result.stdout.splitlines())
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{path}:2", "ROOT.ACK_TIMEOUT"],
        [f"{path}:3", "ROOT.REDIS_PORT"],
        [f"{path}:4", "unknown key ROOT.NO_SUCH_KEY; remove it or correct its spelling"],
    ]


def test_config_check_json_lists_the_problems() -> None:
    good, bad = typed("check", "--json", str(GOOD)), typed("check", "--json", str(BAD))
    assert json.loads(good.stdout)["ok"] is True
    assert json.loads(good.stdout)["keys_set"] == 32
    assert bad.exit_code == 78
    assert json.loads(bad.stdout)["ok"] is False
    assert json.loads(bad.stdout)["problems"][0].startswith(f"{BAD}:")


def test_config_check_reports_a_missing_file_and_an_unset_directory(tmp_path: Path) -> None:
    missing = typed("check", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 78
    assert missing.stdout == f"{tmp_path / 'none.yaml'}: no such file; correct its name\n"
    folder = typed("check", str(tmp_path))
    assert folder.exit_code == 78
    assert f"{tmp_path}: cannot be read: Is a directory" in folder.stdout
    nowhere = typed("check", "--json")
    assert nowhere.exit_code == 78
    assert json.loads(nowhere.stdout)["file"] is None


BOTH_NAMES = "ROOT:\n  HUNG_AFTER: 45\n  WATCHDOG_TIMEOUT: 30\n"


def test_config_check_reports_different_values_under_the_old_and_the_new_name(
    tmp_path: Path,
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(BOTH_NAMES, encoding="utf-8")
    result = typed("check", str(path))
    assert result.exit_code == 78
    assert result.stdout == (
        f"{path}:2: ROOT.HUNG_AFTER is the old name of WATCHDOG_TIMEOUT, and the file has "
        "different values for the two: HUNG_AFTER: 45 (line 2) and WATCHDOG_TIMEOUT: 30 (line 3); "
        "keep the right value as WATCHDOG_TIMEOUT and remove HUNG_AFTER\n"
    )
    path.write_text(BOTH_NAMES.replace("30", "45.0"), encoding="utf-8")
    same = typed("check", str(path))
    assert same.stdout == (
        f"{path}:2: ROOT.HUNG_AFTER is now WATCHDOG_TIMEOUT, which the file has too; "
        "remove HUNG_AFTER\n"
    )


def test_config_check_lists_advisories_for_a_deployed_site_file(tmp_path: Path) -> None:
    notes = json.loads(typed("check", "--json", str(BARE)).stdout)["notes"]
    assert [note.split(" ")[0] for note in notes] == [*site_advisories.SITE_KEYS, "neither"]
    path = tmp_path / "site.yaml"
    swapped = "ROOT:\n  ACK_TIMEOUT: 60\n  OODS_PUBLISH_QUEUE: oods_publish_to_cc\n"
    path.write_text(f"{swapped}  OODS_CONSUME_QUEUE: cc_publish_to_oods\n", encoding="utf-8")
    text = " ".join(typed("check", str(path)).stdout.split())
    assert "ACK_TIMEOUT is 60 s" in text
    assert "read the other way round" in text
    path.write_text("ROOT:\n  PAIR_TIMEOUT: 9\n", encoding="utf-8")
    assert "PAIR_TIMEOUT is 9 s: a running Forwarder" in " ".join(
        typed("check", str(path)).stdout.split()
    )
    path.write_text(swapped, encoding="utf-8")
    assert "are both oods_publish_to_cc" in " ".join(typed("check", str(path)).stdout.split())


@pytest.mark.parametrize(
    ("lines", "is_noted"),
    [
        ("CATCH_UP: automatic", True),
        ("CATCH_UP: automatic\n  HEADER_URL_TEMPLATE: http://192.0.2.1/{obsid}.yaml", False),
        ("CATCH_UP: report", False),
    ],
)
def test_config_check_notes_automatic_catch_up_without_header_address(
    lines: str, tmp_path: Path, *, is_noted: bool
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"ROOT:\n  STALLED_AFTER: 90\n  {lines}\n", encoding="utf-8")
    result = typed("check", str(path))
    words = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert ("note CATCH_UP is automatic and HEADER_URL_TEMPLATE is not set" in words) is is_noted
    assert ("until it is stalled (STALLED_AFTER, 90 s)" in words) is is_noted


@pytest.mark.parametrize(("interval_s", "is_noted"), [(10, True), (20, False)])
def test_config_check_notes_a_scan_interval_shorter_than_the_timeout(
    interval_s: int, tmp_path: Path, *, is_noted: bool
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"ROOT:\n  SCAN_INTERVAL: {interval_s}\n", encoding="utf-8")
    result = typed("check", str(path))
    words = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert ("SCAN_INTERVAL is 10 s, shorter than SCAN_TIMEOUT (20 s)" in words) is is_noted


def test_config_show_lists_every_setting_with_value_origin_and_meaning(in_use: Path) -> None:
    shown = {one["key"]: one for one in json.loads(typed("show", "--json").stdout)["settings"]}
    assert shown["ACK_TIMEOUT"] | {"meaning": ""} == {
        "key": "ACK_TIMEOUT",
        "value": 7.0,
        "line": 2,
        "origin": "line 2",
        "meaning": "",
    }
    assert (
        shown["CSC.BEACON.SECONDS_TO_EXPIRE"]["value"],
        shown["CSC.BEACON.SECONDS_TO_EXPIRE"]["line"],
    ) == (12, 5)
    assert shown["ATS.WFS_CCD"]["value"] == ["22/0", "22/1", "22/2"]
    assert (shown["REDIS_PORT"]["value"], shown["REDIS_PORT"]["origin"]) == (6379, "default")
    assert [name for name, one in shown.items() if not one["meaning"]] == [], (
        "a setting without a meaning"
    )
    assert len(shown) == len(config_listing.entries(load_settings(in_use), SiteFile(in_use)))
    assert {name.upper() for name in Settings.model_fields} == {
        name.split(".")[0] for name in shown
    }


def test_config_show_prefers_the_log_directory_of_the_environment(
    in_use: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_use.exists()
    monkeypatch.setenv("IIP_LOG_DIR", "/var/log/here")
    shown = {one["key"]: one for one in json.loads(typed("show", "--json").stdout)["settings"]}
    assert (shown["LOGGING_DIR"]["value"], shown["LOGGING_DIR"]["origin"]) == (
        "/var/log/here",
        "$IIP_LOG_DIR",
    )


def test_config_show_fits_a_narrow_terminal(in_use: Path) -> None:
    result = typed("show")
    assert result.exit_code == 0
    assert f"site file {in_use}" in result.stdout
    long = [
        line
        for line in result.stdout.splitlines()
        if len(line) > COLUMNS and str(in_use.parent) not in line
    ]
    assert not long
    assert "ACK_TIMEOUT: 7.0" in result.stdout


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_config_show_prints_only_user_and_modes_of_the_credentials(
    in_use: Path, options: tuple[str, ...]
) -> None:
    output = typed("show", *options).output
    assert str(in_use.parent / "credentials" / "iip_cred.yaml") in output
    assert "archiver" in output
    assert "600" in output
    assert "correct-horse-battery" not in output


def test_config_show_reports_credentials_that_others_can_read(in_use: Path) -> None:
    (in_use.parent / "credentials").chmod(0o755)
    shown = json.loads(typed("show", "--json").stdout)["credentials"]
    assert shown["directory_mode"] == "755"
    assert "chmod 700" in shown["problem"]


def test_config_show_rejects_a_wrong_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ccarchiver_config.yaml").write_text("ROOT: []\n", encoding="utf-8")
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    result = typed("show")
    assert result.exit_code == 78
    assert "must be a mapping" in result.output
