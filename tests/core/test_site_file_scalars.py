"""Scalars that YAML reads as numbers, booleans or dates: a text setting has them as written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import load_credentials
from ccarchiver_core.config.settings import PLAINTEXT_VARIABLE, Settings, load_settings
from ccarchiver_core.config.site_file import SiteFile
from ccarchiver_core.config.typed_values import section_of, typed_values
from ccarchiver_sim.testbed.site import settings_of
from tests.core.redis_helpers import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import BaseModel

SCALARS = (
    "00",
    "010",
    "0x1f",
    "0b11",
    "0o17",
    "1_000",
    "1_000.5",
    "22:00",
    "1:30:00",
    "190:20:30.15",
    "+12",
    "-0",
    "1e3",
    "1.0e+3",
    "1.10",
    ".5",
    "5.",
    ".inf",
    "-.INF",
    ".nan",
    "no",
    "No",
    "yes",
    "on",
    "OFF",
    "true",
    "FALSE",
    "y",
    "2026-01-01",
    "2026-13-45",
    "2026-01-01 12:00:00",
    "2026-01-01T12:00:00Z",
    "0x_",
    "=",
    "<<",
    "9" * 5000,
)
"""Plain scalars that a reader of YAML 1.1 or 1.2 may take for something else than a text."""

TEXTS = [
    (name.upper(),)
    for name, field in Settings.model_fields.items()
    if field.annotation is str
    and name not in {"redis_host", "base_broker_addr", "header_url_template"}
] + [("ARCHIVE", "CHECKSUM_TYPE")]
"""Settings that hold any text."""

WITH_RULES = [
    ("REDIS_HOST",),
    ("BASE_BROKER_ADDR",),
    ("REDIS_SENTINELS",),
    ("STATUS_NAMES",),
    ("LOGGING_DIR",),
    ("CATCH_UP",),
    ("HEADER_URL_TEMPLATE",),
    ("SAL", "CAMERA"),
    ("ARCHIVE", "ARCHIVE_LOGIN"),
    ("ARCHIVE", "ARCHIVE_IP"),
    ("ARCHIVE", "OODS_STAGING"),
    ("REDIS_TLS", "CA_FILE"),
]
TLS_FILES = ("CA_FILE", "CERT_FILE", "KEY_FILE")
"""Settings that hold a text of a certain form."""


@pytest.fixture(autouse=True)
def _plaintext_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "true")


def site_file(folder: Path, *lines: str) -> Path:
    path = folder / "site.yaml"
    path.write_text("\n".join(("ROOT:", *lines)) + "\n", encoding="utf-8")
    return path


def nested(path: tuple[str, ...], value: str) -> list[str]:
    lines = [f"{'  ' * level}{key}:" for level, key in enumerate(path, start=1)]
    return [*lines[:-1], f"{lines[-1]} {value}"]


def value_of(settings: BaseModel, path: tuple[str, ...]) -> object:
    value: object = settings
    for name in path:
        value = getattr(value, name.lower())
    return value


@pytest.mark.parametrize("path", TEXTS, ids=".".join)
def test_text_setting_has_the_scalar_as_written(path: tuple[str, ...], tmp_path: Path) -> None:
    for text in SCALARS:
        if len(text) < 256:
            settings = load_settings(site_file(tmp_path, *nested(path, text)))
            assert value_of(settings, path) == text


@pytest.mark.parametrize("path", WITH_RULES, ids=".".join)
def test_text_setting_of_a_form_has_the_scalar_as_written_or_rejects_it(
    path: tuple[str, ...], tmp_path: Path
) -> None:
    for text in SCALARS:
        file = site_file(tmp_path, *nested(path, text))
        value, problem = None, ""
        try:
            value = value_of(load_settings(file), path)
        except ConfigError as error:
            problem = str(error)
        if problem:
            assert problem.startswith(f"{file}:{1 + len(path)}: ROOT.")
            assert text[:60] in problem or "the value" in problem
        else:
            assert value in (text, (text,))


@pytest.mark.parametrize("text", [text for text in SCALARS if len(text) < 256])
def test_raft_boards_and_sensors_are_as_written(text: str, tmp_path: Path) -> None:
    for raft, boards, sensors in (
        (text, f"{text}/0", ""),
        (f"[{text}]", f"[{text}/0]", ""),
        (f'"{text}"', f"- {text}/0", "S00"),
    ):
        lines = [f"    WFS_RAFT: {raft}", "    WFS_CCD:", f"      {boards}"]
        if sensors:
            lines.append(f"    SENSORS: {{{text}/0: {sensors}}}")
        settings = load_settings(site_file(tmp_path, "  ATS:", *lines))
        assert settings.ats.raft == text
        assert settings.ats.ccds == (f"{text}/0",)
        assert {raft for raft, _ in settings.ccds} == {text}


def test_boards_without_a_raft_are_as_written(tmp_path: Path) -> None:
    file = site_file(tmp_path, "  ATS:", "    WFS_RAFT: 00", "    WFS_CCD: [00, 01, 0x2, 1:30]")
    settings = load_settings(file)
    assert settings.ats.ccds == ("00", "01", "0x2", "1:30")
    assert {raft for raft, _ in settings.ccds} == {"00"}


def test_sensor_names_and_the_boards_they_are_for_are_as_written(tmp_path: Path) -> None:
    file = site_file(
        tmp_path,
        "  ATS:",
        "    WFS_RAFT: 00",
        "    WFS_CCD: [00, 1e3]",
        "    SENSORS: {00: [010, no], 1e3: on}",
    )
    assert load_settings(file).ccds == (("00", "010"), ("00", "no"), ("00", "on"))


@pytest.mark.parametrize(
    ("raft", "board"), [("0", "00/0"), ("00", "0/0"), ("[00, 01]", "[00/0, 1/0]"), ("22", "23/0")]
)
def test_boards_of_another_raft_are_rejected_with_the_line(
    raft: str, board: str, tmp_path: Path
) -> None:
    file = site_file(tmp_path, "  ATS:", f"    WFS_RAFT: {raft}", f"    WFS_CCD: {board}")
    with pytest.raises(ConfigError, match=rf"^{file}:4: ROOT.ATS: WFS_CCD has the board"):
        load_settings(file)


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("0x1f", 31), ("0b11", 3), ("010", 8), ("1_000", 1000), ("1:30", 90), ('"7"', 7)],
)
def test_number_has_its_meaning_in_yaml(text: str, number: int, tmp_path: Path) -> None:
    settings = load_settings(site_file(tmp_path, f"  REDIS_PORT: {text}", f"  ACK_TIMEOUT: {text}"))
    assert (settings.redis_port, settings.ack_timeout) == (number, number)


@pytest.mark.parametrize("text", ["no", "yes", "true", "off", "2026-01-01", "2026-13-45", "22/0"])
@pytest.mark.parametrize("key", ["REDIS_PORT", "ACK_TIMEOUT"])
def test_number_is_never_a_boolean_or_a_date(key: str, text: str, tmp_path: Path) -> None:
    file = site_file(tmp_path, f"  {key}: {text}")
    with pytest.raises(ConfigError, match=rf"^{file}:2: ROOT.{key}: '{text}' is not a"):
        load_settings(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", True), ("on", True), ("TRUE", True), ("no", False), ("Off", False), ('"no"', False)],
)
def test_boolean_has_its_meaning_in_yaml(text: str, value: object, tmp_path: Path) -> None:
    assert load_settings(site_file(tmp_path, f"  STANDBY: {text}")).standby is value


def test_scalar_of_a_merged_mapping_is_as_written(tmp_path: Path) -> None:
    file = site_file(
        tmp_path,
        "  <<: &common {CAMERA_NAME: 00, SHORT_NAME: no}",
        "  SHORT_NAME: 1e3",
        "  ATS: {<<: {WFS_RAFT: 01}, WFS_CCD: 01/0}",
    )
    settings = load_settings(file)
    assert (settings.camera_name, settings.short_name, settings.ats.raft) == ("00", "1e3", "01")


def test_renamed_text_setting_is_as_written(tmp_path: Path) -> None:
    file = site_file(tmp_path, "  REDIS_MASTER: 007", "  WHEN_LEASE_IS_HELD: wait")
    settings = load_settings(file, is_old=True)
    assert (settings.sentinel_service_name, settings.standby) == ("007", True)


def test_every_key_of_deployed_site_files_has_the_same_value_unquoted(tmp_path: Path) -> None:
    """The quotes in a deployed file do not matter for any of its keys."""
    deployed = DATA / "config" / "good_site_of_the_replaced_archiver.yaml"
    unquoted = tmp_path / "unquoted.yaml"
    unquoted.write_text(deployed.read_text(encoding="utf-8").replace('"', ""), encoding="utf-8")
    assert load_settings(unquoted) == load_settings(deployed)


def test_demo_copies_texts_of_a_site_file_as_written(tmp_path: Path) -> None:
    file = site_file(
        tmp_path, "  CAMERA_NAME: 1e3", "  SHORT_NAME: 010", "  ATS: {WFS_RAFT: 00, WFS_CCD: 00/0}"
    )
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump({"ROOT": settings_of(file)}), encoding="utf-8")
    assert load_settings(copy) == load_settings(file)


def test_values_of_a_site_file_are_plain(tmp_path: Path) -> None:
    """No value is of a type of the reader, at any depth, also below unknown keys."""
    file = site_file(
        tmp_path, "  UNKNOWN: [1, {no: [2]}]", "  ATS: {SENSORS: {0: [1]}}", "  CSC: 1"
    )
    values = typed_values(SiteFile(file).root, Settings)
    assert values == {
        "UNKNOWN": [1, {"no": [2]}],
        "ATS": {"SENSORS": {"0": ["1"]}},
        "CSC": 1,
    }


@pytest.mark.parametrize("password", [text for text in SCALARS if len(text) < 256])
def test_password_is_as_written(password: str, tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    file = folder / "iip_cred.yaml"
    file.touch(mode=0o600)
    file.write_text(
        f"rabbitmq_users:\n  service_user: 007\n  service_passwd: {password}\n", encoding="utf-8"
    )
    credentials = load_credentials(file)
    assert credentials.user == "007"
    assert credentials.password.get_secret_value() == password


def test_each_text_setting_is_in_one_of_the_tables() -> None:
    def texts(part: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, field in part.model_fields.items():
            section = section_of(field)
            if section is not None:
                yield from texts(section, (*above, name.upper()))
            elif field.annotation not in {int, float, bool}:
                yield (*above, name.upper())

    same_form = {
        ("SAL", "ARCHIVER"): ("SAL", "CAMERA"),
        ("SAL", "HEADER_SERVICE"): ("SAL", "CAMERA"),
        ("ARCHIVE", "FORWARDER_STAGING"): ("ARCHIVE", "OODS_STAGING"),
        ("ARCHIVE", "DBB_STAGING"): ("ARCHIVE", "OODS_STAGING"),
    }
    of_tls = {(section, key) for section in ("REDIS_TLS", "RABBITMQ_TLS") for key in TLS_FILES}
    own_tests = {("ATS", "WFS_RAFT"), ("ATS", "WFS_CCD"), ("ATS", "SENSORS")}
    assert set(texts(Settings)) == {*TEXTS, *WITH_RULES, *same_form, *of_tls, *own_tests}
