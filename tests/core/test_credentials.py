from __future__ import annotations

from pathlib import Path

import pytest

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import SYSTEMD_VARIABLE, credentials_path, load_credentials

SECRET = "correct-horse-battery"  # noqa: S105  no real password

GOOD = f"rabbitmq_users:\n  service_user: archiver\n  service_passwd: {SECRET}\n"


@pytest.fixture
def credential_file(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    path = folder / "iip_cred.yaml"
    path.write_text(GOOD, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_credentials_file_is_read_into_user_and_password(credential_file: Path) -> None:
    credentials = load_credentials(credential_file)

    assert credentials.user == "archiver"
    assert credentials.password.get_secret_value() == SECRET


def test_password_is_in_no_text_form_of_the_credentials(credential_file: Path) -> None:
    credentials = load_credentials(credential_file)

    for text in (
        repr(credentials),
        str(credentials),
        credentials.model_dump_json(),
        f"{credentials.password}",
    ):
        assert SECRET not in text


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o660, 0o666])
def test_file_that_others_can_read_is_rejected_with_the_chmod_command(
    credential_file: Path, mode: int
) -> None:
    credential_file.chmod(mode)

    with pytest.raises(ConfigError) as caught:
        load_credentials(credential_file)

    assert f"chmod 600 {credential_file}" in str(caught.value)


@pytest.mark.parametrize("mode", [0o750, 0o755, 0o701, 0o777])
def test_directory_that_others_can_enter_is_rejected_with_the_chmod_command(
    credential_file: Path, mode: int
) -> None:
    credential_file.parent.chmod(mode)

    with pytest.raises(ConfigError) as caught:
        load_credentials(credential_file)

    assert f"chmod 700 {credential_file.parent}" in str(caught.value)


def test_file_is_accepted_after_the_chmod_commands(credential_file: Path) -> None:
    credential_file.chmod(0o644)
    credential_file.parent.chmod(0o755)

    credential_file.chmod(0o600)
    credential_file.parent.chmod(0o700)

    assert load_credentials(credential_file).user == "archiver"


@pytest.mark.parametrize(
    "content",
    [
        f"rabbitmq_users: {{service_user: archiver, service_passwd: {SECRET}",
        f"rabbitmq_users:\n  service_user: archiver\n  service_password: {SECRET}\n",
        f"rabbitmq_users:\n  service_passwd: {SECRET}\n",
        f"rabbitmq_users:\n  service_user: archiver\n  service_passwd: [{SECRET}]\n",
        f"- {SECRET}\n",
        SECRET,
        f"service_user: archiver\nservice_passwd: {SECRET}\n",
        f"rabbitmq_users: !!python/name:{SECRET}\n",
        "",
    ],
    ids=[
        "not yaml",
        "misspelt",
        "no user",
        "a list",
        "a sequence",
        "a text",
        "no mapping",
        "a python name",
        "empty",
    ],
)
def test_malformed_file_is_rejected_without_the_password_in_the_error(
    credential_file: Path, content: str
) -> None:
    credential_file.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_credentials(credential_file)

    shown, cause = str(caught.value), caught.value.__cause__
    assert str(credential_file) in shown
    assert SECRET not in shown
    assert cause is None, "the traceback would print the cause with the password"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_missing_credentials_file_is_named_with_the_variable(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    with pytest.raises(ConfigError, match=r"iip_cred\.yaml: no such file.*IIP_CREDENTIAL_DIR"):
        load_credentials(tmp_path / "iip_cred.yaml")


def test_credentials_path_is_from_the_variable_or_the_home_directory() -> None:
    assert credentials_path({"IIP_CREDENTIAL_DIR": "/secret"}) == Path("/secret/iip_cred.yaml")
    assert credentials_path({}) == Path.home() / ".lsst" / "iip_cred.yaml"


def test_systemd_directory_is_used_if_it_has_the_file_and_no_variable_is_set(
    credential_file: Path,
) -> None:
    given = {SYSTEMD_VARIABLE: str(credential_file.parent)}

    assert credentials_path(given) == credential_file
    assert credentials_path({**given, "IIP_CREDENTIAL_DIR": "/secret"}) == Path(
        "/secret/iip_cred.yaml"
    )
    credential_file.unlink()
    assert credentials_path(given) == Path.home() / ".lsst" / "iip_cred.yaml"


@pytest.mark.parametrize(("directory", "file"), [(0o500, 0o400), (0o700, 0o600)])
def test_credentials_with_the_file_modes_of_systemd_are_accepted(
    credential_file: Path, monkeypatch: pytest.MonkeyPatch, directory: int, file: int
) -> None:
    monkeypatch.delenv("IIP_CREDENTIAL_DIR", raising=False)
    monkeypatch.setenv(SYSTEMD_VARIABLE, str(credential_file.parent))
    credential_file.chmod(file)
    credential_file.parent.chmod(directory)

    assert load_credentials().user == "archiver"

    monkeypatch.delenv(SYSTEMD_VARIABLE)
    assert load_credentials(credential_file).user == "archiver", "without systemd, too"


@pytest.mark.parametrize("others", [0o004, 0o020, 0o001, 0o002])
def test_systemd_credentials_that_others_can_access_are_rejected(
    credential_file: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    monkeypatch.setenv(SYSTEMD_VARIABLE, str(credential_file.parent))
    for path, mode in ((credential_file, 0o400), (credential_file.parent, 0o500)):
        path.chmod(mode | others)
        with pytest.raises(ConfigError, match=f"{path}: mode .* gives other users access"):
            load_credentials(credential_file)
        path.chmod(mode)
    assert load_credentials(credential_file).user == "archiver"


def test_message_about_invalid_yaml_has_the_line_but_not_the_password(
    credential_file: Path,
) -> None:
    credential_file.write_text(
        f"rabbitmq_users:\n  service_user: archiver\n  service_passwd: [{SECRET}\n",
        encoding="utf-8",
    )
    with pytest.raises(
        ConfigError, match=rf"^{credential_file}:\d: not valid YAML; correct this line"
    ) as caught:
        load_credentials(credential_file)
    assert SECRET not in str(caught.value)
