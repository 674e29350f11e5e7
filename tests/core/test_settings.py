from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import PLAINTEXT_VARIABLE, Settings, load_settings
from tests.core.redis_helpers import DATA

GOOD = sorted((DATA / "config").glob("good_*.yaml"))
BAD = sorted((DATA / "config").glob("bad_*.yaml"))
EXPECT = "# expect: "

CONTRACT_DEFAULTS: dict[str, object] = {
    "REDIS_HOST": "127.0.0.1",
    "ARCHIVER_REDIS_DB": 14,
    "BASE_BROKER_ADDR": "127.0.0.1:5672/%2ftest_cc",
    "FORWARDER_PUBLISH_QUEUE": "cc_foreman_ack_publish",
    "OODS_PUBLISH_QUEUE": "cc_publish_to_oods",
    "OODS_CONSUME_QUEUE": "oods_publish_to_cc",
    "ARCHIVE_CTRL_PUBLISH_QUEUE": "archive_ctrl_publish",
    "ARCHIVE_CTRL_CONSUME_QUEUE": "archive_ctrl_consume",
    "TELEMETRY_QUEUE": "telemetry_queue",
    "CAMERA_NAME": "COMCAM",
    "ARCHIVER_NAME": "CCArchiver",
    "SHORT_NAME": "CC",
    "ARCHIVE_CONTROLLER_NAME": "ARCHIVE_CTRL",
    "ASSOCIATION_KEY": "ccarchiver_association",
    "FILE_INGEST_REQUEST": "CC_FILE_INGEST_REQUEST",
    "NEW_ARCHIVE_ITEM": "NEW_CC_ARCHIVE_ITEM",
    "FWDR_XFER_PARAMS": "CC_FWDR_XFER_PARAMS",
    "FWDR_END_READOUT": "CC_FWDR_END_READOUT",
    "FWDR_HEADER_READY": "CC_FWDR_HEADER_READY",
    "FWDR_HEALTH_CHECK_ACK": "CC_FWDR_HEALTH_CHECK_ACK",
    "CSC.BEACON.SECONDS_TO_EXPIRE": 10,
    "CSC.BEACON.SECONDS_TO_UPDATE": 3.0,
    "ATS.WFS_RAFT": "22",
    "ATS.WFS_CCD": ("22/0", "22/1", "22/2"),
}
"""Names that the deployed peers use. The default settings must match them."""

CONTRACT_EXAMPLE: dict[str, object] = {
    "REDIS_HOST": "comcam-redis",
    "ARCHIVER_REDIS_DB": 15,
    "BASE_BROKER_ADDR": "comcam-broker:5673/%2fcomcam",
    "FORWARDER_PUBLISH_QUEUE": "q_forwarder_publish",
    "OODS_PUBLISH_QUEUE": "q_oods_publish",
    "OODS_CONSUME_QUEUE": "q_oods_consume",
    "ARCHIVE_CTRL_PUBLISH_QUEUE": "q_ctrl_publish",
    "ARCHIVE_CTRL_CONSUME_QUEUE": "q_ctrl_consume",
    "TELEMETRY_QUEUE": "q_telemetry",
    "CAMERA_NAME": "OTHERCAM",
    "ARCHIVER_NAME": "OtherArchiver",
    "SHORT_NAME": "OC",
    "ARCHIVE_CONTROLLER_NAME": "OTHER_CTRL",
    "ASSOCIATION_KEY": "other_association",
    "FILE_INGEST_REQUEST": "OC_FILE_INGEST_REQUEST",
    "NEW_ARCHIVE_ITEM": "NEW_OC_ARCHIVE_ITEM",
    "FWDR_XFER_PARAMS": "OC_FWDR_XFER_PARAMS",
    "FWDR_END_READOUT": "OC_FWDR_END_READOUT",
    "FWDR_HEADER_READY": "OC_FWDR_HEADER_READY",
    "FWDR_HEALTH_CHECK_ACK": "OC_FWDR_HEALTH_CHECK_ACK",
    "ACK_TIMEOUT": 7.0,
    "LOGGING_DIR": Path("/var/log/othercam"),
    "CSC.BEACON.SECONDS_TO_EXPIRE": 12,
    "CSC.BEACON.SECONDS_TO_UPDATE": 4.0,
    "ARCHIVE.ARCHIVE_LOGIN": "OTHER",
    "ARCHIVE.ARCHIVE_IP": "127.0.0.9",
    "ARCHIVE.CHECKSUM_TYPE": "SHA256",
    "ARCHIVE.FORWARDER_STAGING": Path("/other/forwarder"),
    "ARCHIVE.OODS_STAGING": Path("/other/oods"),
    "ARCHIVE.DBB_STAGING": Path("/other/dbb"),
    "ATS.WFS_RAFT": "33",
    "ATS.WFS_CCD": ("33/0", "33/1"),
}


def value_of(settings: Settings, key: str) -> object:
    value: object = settings
    for name in key.lower().split("."):
        value = getattr(value, name)
    return value


@pytest.fixture
def _plaintext_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow remote plaintext, as a site with the replaced archiver's file must do."""
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "true")


@pytest.mark.usefixtures("_plaintext_allowed")
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_site_file_is_accepted(path: Path) -> None:
    load_settings(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_site_file_is_rejected_with_position_and_problem(path: Path) -> None:
    expected = (
        path.read_text(encoding="utf-8").splitlines()[0].removeprefix(EXPECT).format(file=path)
    )

    with pytest.raises(ConfigError) as caught:
        load_settings(path)

    assert expected in str(caught.value)


def test_site_files_for_these_tests_are_found() -> None:
    assert len(GOOD) >= 4
    assert len(BAD) >= 15


@pytest.mark.usefixtures("_plaintext_allowed")
@pytest.mark.parametrize(("key", "expected"), CONTRACT_EXAMPLE.items())
def test_every_key_of_the_replaced_archivers_site_file_is_read(key: str, expected: object) -> None:
    settings = load_settings(DATA / "config" / "good_site_of_the_replaced_archiver.yaml")

    assert value_of(settings, key) == expected


@pytest.mark.parametrize(("key", "expected"), CONTRACT_DEFAULTS.items())
def test_default_settings_match_the_deployed_peers(key: str, expected: object) -> None:
    assert value_of(load_settings(DATA / "config" / "good_empty_root.yaml"), key) == expected


@pytest.mark.parametrize(
    ("site", "server"),
    [
        ({"REDIS_HOST": "192.0.2.7"}, "Redis at 192.0.2.7"),
        ({"REDIS_SENTINELS": ["127.0.0.1:1", "192.0.2.7:2"]}, "Redis at 192.0.2.7"),
        ({"BASE_BROKER_ADDR": "127.0.0.1:1/x, broker.example:1/x"}, "RabbitMQ at broker.example"),
    ],
)
def test_plaintext_to_another_host_is_rejected_unless_allowed(
    site: dict[str, object], server: str
) -> None:
    with pytest.raises(ValidationError, match=server):
        Settings.model_validate(site)
    allowed = Settings.model_validate(site | {"ALLOW_REMOTE_PLAINTEXT": True})
    assert [name for name, _ in allowed.in_plaintext()] == [server]
    tls = {"REDIS_TLS": {"USE": True}, "RABBITMQ_TLS": {"USE": True}}
    assert not Settings.model_validate(site | tls).in_plaintext()


def test_environment_variable_allows_remote_plaintext(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("ROOT:\n  REDIS_HOST: 192.0.2.7\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{PLAINTEXT_VARIABLE}=true in the environment"):
        load_settings(path)
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "true")
    assert load_settings(path).redis_host == "192.0.2.7"
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "perhaps")
    with pytest.raises(ConfigError, match=rf"^\${PLAINTEXT_VARIABLE}: "):
        load_settings(path)


def test_all_problems_of_a_site_file_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "ROOT:\n  ACK_TIMEOUT: soon\n  REDIS_PORT: 0\n  NO_SUCH_KEY: 1\n", encoding="utf-8"
    )

    with pytest.raises(ConfigError) as caught:
        load_settings(path)

    assert [line.split(": ")[0] for line in sorted(str(caught.value).splitlines())] == [
        f"{path}:2",
        f"{path}:3",
        f"{path}:4",
    ]


def test_missing_site_file_in_use_is_named_with_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match=r"config\.yaml: no such file; .*IIP_CONFIG_DIR"):
        load_settings()


def test_missing_site_file_that_is_given_is_named_without_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(caught.value) == f"{path}: no such file; correct its name"


def test_site_file_that_is_not_utf_8_is_rejected_by_name(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(b"ROOT:\n  CAMERA_NAME: \xff\xfe\n")

    with pytest.raises(ConfigError, match=r"site\.yaml: cannot be read"):
        load_settings(path)


def test_site_file_is_read_from_the_directory_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ccarchiver_config.yaml").write_text("ROOT:\n  ACK_TIMEOUT: 9\n", encoding="utf-8")
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))

    assert load_settings().ack_timeout == 9


def test_error_names_the_variable_when_it_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IIP_CONFIG_DIR", raising=False)

    with pytest.raises(ConfigError, match=r"IIP_CONFIG_DIR is not set.*ccarchiver_config\.yaml"):
        load_settings()


@pytest.mark.parametrize(
    ("address", "host", "port", "vhost"),
    [
        ("127.0.0.1:5672/%2ftest_cc", "127.0.0.1", 5672, "/test_cc"),
        ("broker.example:5673/comcam", "broker.example", 5673, "comcam"),
        ("[::1]:5672/%2f", "::1", 5672, "/"),
        ("127.0.0.1:5672/", "127.0.0.1", 5672, "/"),
    ],
)
def test_broker_address_is_parsed_into_host_port_and_vhost(
    address: str, host: str, port: int, vhost: str
) -> None:
    site = {"BASE_BROKER_ADDR": address, "ALLOW_REMOTE_PLAINTEXT": True}
    (broker,) = Settings.model_validate(site).brokers

    assert (broker.host, broker.port, broker.vhost) == (host, port, vhost)


@pytest.mark.parametrize(
    "value",
    ["127.0.0.1:5672/%2fx, 127.0.0.2:5673/%2fx", ["127.0.0.1:5672/%2fx", "127.0.0.2:5673/%2fx"]],
)
def test_several_brokers_are_the_nodes_of_one_cluster(value: object) -> None:
    settings = Settings.model_validate({"BASE_BROKER_ADDR": value})

    assert [(broker.host, broker.port) for broker in settings.brokers] == [
        ("127.0.0.1", 5672),
        ("127.0.0.2", 5673),
    ]
    assert settings.vhost == "/x"
    assert settings.broker_text == "127.0.0.1:5672, 127.0.0.2:5673 (vhost /x)"


def test_default_site_has_nine_files_per_image() -> None:
    assert Settings().files_per_image == 9


def test_log_directory_of_the_environment_overrides_the_site_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings.model_validate({"LOGGING_DIR": "/from/the/file"})
    assert settings.log_dir == Path("/from/the/file")

    monkeypatch.setenv("IIP_LOG_DIR", "/from/the/environment")

    assert settings.log_dir == Path("/from/the/environment")


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"OODS_PUBLISH_QUEUE": "cc_publish_to_oods", "OODS_CONSUME_QUEUE": "oods_publish_to_cc"},
        {"OODS_PUBLISH_QUEUE": "oods_publish_to_cc", "OODS_CONSUME_QUEUE": "cc_publish_to_oods"},
    ],
)
def test_well_known_oods_queues_are_correct_in_either_naming(names: dict[str, str]) -> None:
    settings = Settings.model_validate(names)
    assert (settings.queue_to_oods, settings.queue_from_oods) == (
        "cc_publish_to_oods",
        "oods_publish_to_cc",
    )


def test_start_limit_exceeds_two_long_ack_timeouts() -> None:
    settings = Settings.model_validate({"ACK_TIMEOUT": 60})
    assert settings.start_limit > 2 * settings.ack_timeout + settings.pair_timeout
