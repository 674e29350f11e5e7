"""Tests of ``ccarchiver config migrate``: the new file has the same meaning as the old one."""

from __future__ import annotations

import re
import resource
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel
from typer.testing import CliRunner, Result

from ccarchiver_cli import config_listing, site_file_writer
from ccarchiver_cli.main import make_app
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.renamed_settings import translate
from ccarchiver_core.config.settings import PLAINTEXT_VARIABLE, Settings, load_settings
from ccarchiver_core.config.site_file import SiteFile
from tests.core.redis_helpers import DATA

if TYPE_CHECKING:
    from pathlib import Path

GOOD = sorted((DATA / "config").glob("good_*.yaml"))
EXPLICIT_IN_THE_NEW_FILE = DATA / "config" / "bad_plaintext_to_another_host.yaml"
"""Old files have no key for this; the new file states it, so this file is accepted."""
BAD = sorted(set((DATA / "config").glob("bad_*.yaml")) - {EXPLICIT_IN_THE_NEW_FILE})
REPLACED = DATA / "config" / "good_site_of_the_replaced_archiver.yaml"

SWAPPED = (
    "ROOT:\n  OODS_PUBLISH_QUEUE: oods_publish_to_cc\n  OODS_CONSUME_QUEUE: cc_publish_to_oods\n"
)
FORMS = {
    "swapped": SWAPPED,
    "both the same": "ROOT:\n  OODS_PUBLISH_QUEUE: oods_publish_to_cc\n",
    "old ack timeout": "ROOT:\n  ACK_TIMEOUT: 60\n",
    "fractions": "ROOT:\n  ACK_TIMEOUT: 2.5\n  PAIR_TIMEOUT: 1e300\n  REASSIGN_GRACE: 1e-300\n",
    "merged": "ROOT:\n  <<: {ACK_TIMEOUT: 60}\n  CSC: {BEACON: {SECONDS_TO_EXPIRE: 20}}\n",
    "empty sections": "ROOT:\n  CSC: {BEACON: {}}\n  ARCHIVE: {}\n",
    "null": "ROOT:\n  LOGGING_DIR:\n",
    "quoted": (
        'ROOT:\n  CAMERA_NAME: "22"\n  SHORT_NAME: "# no: comment"\n'
        '  LOGGING_DIR: "/a folder/of: it"\n'
    ),
    "explicit default": "ROOT:\n  STATUS_PORT: 8094\n",
}
"""More forms that the loader accepts."""

UNCOMMENTED = re.compile(r"^( *)#(?=[A-Z_]+:)", re.MULTILINE)
"""Matches the comment mark of a key that has its default."""


def typed(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(
        make_app("config"), ["config", "migrate", *words]
    )


def migrated(path: Path, folder: Path) -> Path:
    """Migrate a file and return the path of the new one."""
    new = folder / "new.yaml"
    result = typed(str(path), "-o", str(new))
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    return new


def paths_set(settings: BaseModel, above: str = "") -> set[str]:
    """Return the dotted names of all keys that are set."""
    found = set[str]()
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        found |= (
            paths_set(value, f"{above}{name}.")
            if isinstance(value, BaseModel)
            else {f"{above}{name}"}
        )
    return found


@pytest.fixture
def _plaintext_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment of a site with the old site file and brokers on other hosts."""
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "true")


def test_plaintext_to_remote_hosts_is_explicit_in_the_new_file(tmp_path: Path) -> None:
    new = migrated(REPLACED, tmp_path)
    assert "\n  ALLOW_REMOTE_PLAINTEXT: true\n" in new.read_text(encoding="utf-8")
    assert load_settings(new).in_plaintext()


OLD_NAMES = """\
ROOT:
  HUNG_AFTER: 45
  WHEN_LEASE_IS_HELD: wait
  REDIS_HOST: redis.example.org
  PLAINTEXT_BEYOND_LOOPBACK: allowed
"""


def test_settings_with_an_old_name_are_renamed_in_the_new_file(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(OLD_NAMES, encoding="utf-8")

    with pytest.raises(
        ConfigError, match=r"old.yaml:2: ROOT.HUNG_AFTER is now WATCHDOG_TIMEOUT; ccarchiver config"
    ):
        load_settings(old)

    settings = load_settings(migrated(old, tmp_path))
    assert (settings.watchdog_timeout, settings.standby, settings.allow_remote_plaintext) == (
        45,
        True,
        True,
    )
    assert translate(translate({"HUNG_AFTER": 45})) == {"WATCHDOG_TIMEOUT": 45}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("  HUNG_AFTER: 45\n  NO_SUCH_KEY: 1\n", ":3: unknown key ROOT.NO_SUCH_KEY"),
        ("  ACK_TIMEOUT: 3\n  HUNG_AFTER: soon\n", ":3: ROOT.WATCHDOG_TIMEOUT: 'soon'"),
        (
            "  HUNG_AFTER: 45\n  REDIS_HOST: redis.example.org\n  FORWARDER_REDIS_DB: 14\n",
            ": ROOT: ARCHIVER_REDIS_DB and FORWARDER_REDIS_DB are both 14",
        ),
        (
            "  REDIS_HOST: redis.example.org\n  STALLED_AFTER: 9\n  ABANDONED_AFTER: 8\n",
            ":4: ROOT: ABANDONED_AFTER (8 s) must be longer than STALLED_AFTER (9 s)",
        ),
    ],
)
def test_problem_other_than_an_old_name_is_reported_alone(
    text: str, problem: str, tmp_path: Path
) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(f"ROOT:\n{text}", encoding="utf-8")
    result = typed(str(old))
    assert (result.exit_code, result.stdout) == (78, "")
    assert problem in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "config migrate" not in result.stderr


def test_different_values_under_the_old_and_the_new_name_are_rejected(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(
        "ROOT:\n  WATCHDOG_TIMEOUT: 30\n  HUNG_AFTER: 45\n"
        "  STANDBY: false\n  WHEN_LEASE_IS_HELD: wait\n",
        encoding="utf-8",
    )
    result = typed(str(old))
    assert (result.exit_code, result.stdout) == (78, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{old}:3: ROOT.HUNG_AFTER is the old name of WATCHDOG_TIMEOUT")
    assert "HUNG_AFTER: 45 (line 3) and WATCHDOG_TIMEOUT: 30 (line 2)" in first
    assert "WHEN_LEASE_IS_HELD: wait (line 5) and STANDBY: false (line 4)" in second


def test_equal_values_under_the_old_and_the_new_name_are_migrated(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(
        "ROOT:\n  WATCHDOG_TIMEOUT: 45\n  HUNG_AFTER: 45.0\n"
        "  STANDBY: true\n  WHEN_LEASE_IS_HELD: wait\n",
        encoding="utf-8",
    )
    settings = load_settings(migrated(old, tmp_path))
    assert (settings.watchdog_timeout, settings.standby) == (45, True)


def test_missing_file_is_named_without_the_environment(tmp_path: Path) -> None:
    result = typed(str(tmp_path / "none.yaml"))
    assert result.exit_code == 78
    assert result.stderr == f"{tmp_path / 'none.yaml'}: no such file; correct its name\n"


def test_migrated_file_without_remote_hosts_does_not_allow_plaintext(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text("ROOT:\n  HUNG_AFTER: 45\n", encoding="utf-8")
    assert not load_settings(migrated(old, tmp_path)).allow_remote_plaintext


@pytest.mark.usefixtures("_plaintext_allowed")
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_migrated_file_has_the_same_settings_as_the_old_one(path: Path, tmp_path: Path) -> None:
    old, new = load_settings(path), load_settings(migrated(path, tmp_path))
    assert new == old
    assert paths_set(new) == paths_set(old)


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_migrated_file_has_the_same_settings_for_every_accepted_form(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(text, encoding="utf-8")
    old, new = load_settings(path), load_settings(migrated(path, tmp_path))
    assert new == old
    assert paths_set(new) == paths_set(old)
    assert (new.queue_to_oods, new.queue_from_oods) == (old.queue_to_oods, old.queue_from_oods)


QUEUE_NAME_BYTES = 255
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: len(text.encode()) <= QUEUE_NAME_BYTES
)


BOARDS = st.lists(TEXTS.filter(lambda text: "/" not in text), min_size=1, unique=True)
"""Boards of one raft only: boards of several rafts could name a CCD twice."""


@given(name=TEXTS, boards=BOARDS, seconds=st.floats(min_value=1e-9, allow_infinity=False))
@hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_migration_keeps_every_text_and_number_of_a_site(
    tmp_path: Path, name: str, boards: list[str], seconds: float
) -> None:
    root = {
        "CAMERA_NAME": name,
        "OODS_PUBLISH_QUEUE": name,
        "OODS_CONSUME_QUEUE": name,
        "ACK_TIMEOUT": seconds,
        "ATS": {"WFS_CCD": boards},
    }
    settings = Settings.model_validate(root)
    path = tmp_path / "new.yaml"
    path.write_text(site_file_writer.render(settings, name), encoding="utf-8", newline="")
    assert load_settings(path) == settings


def test_migrate_without_output_prints_the_new_file(tmp_path: Path) -> None:
    assert typed(str(REPLACED)).stdout == migrated(REPLACED, tmp_path).read_text(encoding="utf-8")


@pytest.mark.usefixtures("_plaintext_allowed")
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_migrated_file_has_every_key_in_order_with_its_meaning(path: Path) -> None:
    lines = typed(str(path)).stdout.splitlines()
    keys = [
        (match[1], at)
        for at, line in enumerate(lines)
        if (match := re.match(r" +#?([A-Z_]+):", line))
    ]
    settings = load_settings(path)
    expected = config_listing.entries(settings, SiteFile(path))
    sections = {"CSC", "BEACON", "ARCHIVE", "ATS", "SAL", "REDIS_TLS", "RABBITMQ_TLS"}
    leaves = [(key, at) for key, at in keys if key not in sections]
    assert [key for key, _ in leaves] == [entry.key.rpartition(".")[2] for entry in expected]
    assert {key for key, _ in keys} >= sections
    for (_, at), entry in zip(leaves, expected, strict=True):
        above = at
        while lines[above - 1].lstrip().startswith("# "):
            above -= 1
        comment = " ".join(line.strip().removeprefix("# ") for line in lines[above:at])
        assert comment.startswith(entry.meaning), entry.key


@pytest.mark.usefixtures("_plaintext_allowed")
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_uncommenting_all_defaults_in_the_new_file_changes_no_setting(
    path: Path, tmp_path: Path
) -> None:
    text = typed(str(path)).stdout.replace(site_file_writer.ALL_DEFAULT, "")
    assert UNCOMMENTED.search(text)
    all_said = tmp_path / "all.yaml"
    all_said.write_text(UNCOMMENTED.sub(r"\1", text), encoding="utf-8")
    assert load_settings(all_said) == load_settings(path)
    assert set(yaml.safe_load(all_said.read_text(encoding="utf-8"))["ROOT"]) == {
        name.upper() for name in Settings.model_fields
    }


def test_advisories_are_written_above_their_key_and_printed(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(f"{SWAPPED}  ACK_TIMEOUT: 60\n", encoding="utf-8")
    result = typed(str(path))
    plain = " ".join(result.stdout.replace("#", " ").split())
    assert re.search(r"note: ACK_TIMEOUT is 60 s.{1,120}; 5 is better ACK_TIMEOUT: 60 ", plain)
    assert re.search(
        r"note: OODS_PUBLISH_QUEUE and .{1,120}the other way round: to the OODS cc_publish_to_oods",
        plain,
    )
    assert re.search(r"note: ARCHIVE\.ARCHIVE_IP is not set.{1,120}one machine ARCHIVE_IP: ", plain)
    printed = " ".join(result.stderr.split())
    assert "note ACK_TIMEOUT is 60 s" in printed
    assert "the other way round" in printed
    assert "neither LOGGING_DIR" in printed, "depends on the environment, so it is printed"
    assert "neither LOGGING_DIR" not in plain, "and it is not written"


def test_site_without_advisories_has_no_notes_in_the_new_file(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        re.sub(r"comcam-(redis|broker)", "127.0.0.1", REPLACED.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    result = typed(str(site))
    assert "note: " not in result.stdout.replace("`note:`", "")
    assert result.stderr == ""


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_migrate_rejects_a_bad_file_with_the_lines_of_config_check(
    path: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.yaml"
    result = typed(str(path), "-o", str(new))
    checked = CliRunner().invoke(make_app("config"), ["config", "check", str(path)])
    assert result.exit_code == checked.exit_code == 78
    assert result.stderr == checked.stdout
    assert not new.exists()


def test_migrate_never_overwrites_a_file(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(SWAPPED, encoding="utf-8")
    for there in (old, tmp_path / "other.yaml"):
        there.write_text(SWAPPED, encoding="utf-8")
        result = typed(str(old), "-o", str(there))
        assert result.exit_code == 1
        assert f"{there}: already exists" in result.stderr
        assert there.read_text(encoding="utf-8") == SWAPPED


def test_migrate_names_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    new = tmp_path / "no folder" / "new.yaml"
    result = typed(str(REPLACED), "-o", str(new))
    assert result.exit_code == 1
    assert f"{new}: cannot be written: No such file or directory" in result.stderr


def test_migrate_on_a_full_disk_leaves_no_partial_file(tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        result = typed(str(REPLACED), "-o", str(new))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 1
    assert f"{new}: cannot be written: File too large" in result.stderr
    assert not new.exists()
