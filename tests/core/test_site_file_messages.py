"""Messages about wrong values: our own words, for every setting and every kind of wrong value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, ValidationError

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import PLAINTEXT_VARIABLE, Settings, load_settings
from ccarchiver_core.config.typed_values import section_of
from ccarchiver_core.config.validation_messages import PROBLEMS, RULE, UNKNOWN_KEY
from ccarchiver_core.config.value_types import Hidden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic.fields import FieldInfo

WRONG = {
    "nothing": "",
    "word": "perhaps",
    "empty text": '""',
    "text with spaces": "two words; here",
    "long text": "q" * 300,
    "negative": "-1",
    "zero": "0",
    "large": "99999999999999999999",
    "very many digits": "9" * 5000,
    "fraction": "0.5",
    "infinite": ".inf",
    "not a number": ".nan",
    "boolean": "yes",
    "date": "2026-01-01",
    "impossible date": "2026-13-45",
    "relative path": "some/where",
    "empty list": "[]",
    "list": "[1, yes, text]",
    "nested list": "[[1], {a: b}, null]",
    "empty mapping": "{}",
    "mapping": "{no: such, 1: [2]}",
}
"""Values in a site file; each is wrong for most settings."""

FOREIGN = re.compile(
    r"Input|should (be|have)|valid (integer|number|string|boolean|dict|tuple|list)|unable to parse"
    r"|Value error|Extra inputs|instance of|errors\.pydantic\.dev|[Pp]ydantic|Error\b|Traceback"
)
"""Words of pydantic's own messages and of exceptions."""

REMEDY = re.compile(r"\b(write|add|remove|set|raise|lower|use|give)\b|is usual|are usual")


def keys(
    part: type[BaseModel] = Settings, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Return the path and the definition of each key, those of the sections too."""
    for name, field in part.model_fields.items():
        path = (*above, name.upper())
        yield path, field
        if (section := section_of(field)) is not None:
            yield from keys(section, path)


KEYS = dict(keys())
PATHS = [pytest.param(path, id=".".join(path)) for path in KEYS]


def loaded(path: tuple[str, ...], value: str, folder: Path) -> ConfigError | None:
    """Load a site file with one key; return the error, or None if the value is right."""
    file = folder / "site.yaml"
    lines = [f"{'  ' * level}{key}:" for level, key in enumerate(("ROOT", *path))]
    file.write_text("\n".join(lines) + f" {value}\n", encoding="utf-8")
    try:
        load_settings(file)
    except ConfigError as error:
        return error
    return None


@pytest.mark.parametrize("path", PATHS)
def test_each_wrong_value_of_each_setting_is_reported_in_our_words(
    path: tuple[str, ...], tmp_path: Path
) -> None:
    wrong = 0
    for kind, value in WRONG.items():
        error = loaded(path, value, tmp_path)
        if error is None:
            continue
        wrong += 1
        for text in str(error).splitlines():
            assert re.match(rf"{tmp_path}/site\.yaml:\d+: (unknown key )?ROOT", text), kind
            assert FOREIGN.search(text) is None, kind
            assert REMEDY.search(text), kind
            assert path[-1] in text, kind
            assert len(text) < 800, kind
    assert wrong >= len(WRONG) / 4


def types_of(error: ConfigError | None) -> set[str]:
    problems = None if error is None else error.__context__
    return (
        {problem["type"] for problem in problems.errors()}
        if isinstance(problems, ValidationError)
        else set()
    )


def test_each_error_type_has_a_sentence_and_each_sentence_is_used(tmp_path: Path) -> None:
    seen = set[str]()
    for path in KEYS:
        for value in WRONG.values():
            seen |= types_of(loaded(path, value, tmp_path))
    assert seen - {RULE, UNKNOWN_KEY} == set(PROBLEMS)


SENSORS = ("ATS", "SENSORS")
WITH_PASSWORD = [
    "archiver:s3cret@redis.example.org",
    "amqp://archiver:s3cret@192.0.2.1:5672/x",
    "{user: archiver, password: s3cret}",
    '"-----BEGIN PRIVATE KEY-----\\ns3cret"',
]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (path, value)
        for path in KEYS
        for value in WITH_PASSWORD
        # SENSORS holds a mapping of boards, in which these words are sensors.
        if path != SENSORS or not value.startswith("{")
    ],
)
def test_message_about_a_setting_never_contains_a_password(
    path: tuple[str, ...], value: str, tmp_path: Path
) -> None:
    error = loaded(path, value, tmp_path)
    assert error is None or "s3cret" not in str(error)


def test_unknown_key_is_reported_without_its_value(tmp_path: Path) -> None:
    error = loaded(("REDIS_PASSWORD",), "s3cret", tmp_path)
    assert "s3cret" not in str(error)
    assert "unknown key ROOT.REDIS_PASSWORD; remove it" in str(error)


@pytest.mark.parametrize("path", PATHS)
def test_message_shows_the_value_as_written_unless_it_may_be_a_password(
    path: tuple[str, ...], tmp_path: Path
) -> None:
    field = KEYS[path]
    is_hidden = any(isinstance(mark, Hidden) for mark in field.metadata)
    for value in ("-1", "0.5", "two words; here", "!!int '-0x1f'"):
        error = loaded(path, value, tmp_path)
        _, _, problem = str(error).partition(f": ROOT.{'.'.join(path)}: ")
        if problem:
            text = value.removeprefix("!!int ").strip("'")
            assert (text in problem) != is_hidden


EXPECTED = {
    ("REDIS_PORT", "70000"): (
        "ROOT.REDIS_PORT: 70000 is too large; write a whole number from 1 to 65535, "
        "for example REDIS_PORT: 6379"
    ),
    ("REDIS_PORT", "0x1ffff"): (
        "ROOT.REDIS_PORT: 0x1ffff is too large; write a whole number from 1 to 65535, "
        "for example REDIS_PORT: 6379"
    ),
    ("STATUS_PORT", "-1"): (
        "ROOT.STATUS_PORT: -1 is too small; write a whole number from 0 to 65535, "
        "for example STATUS_PORT: 8094"
    ),
    ("MAX_MAILBOX", "many"): (
        "ROOT.MAX_MAILBOX: 'many' is not a whole number; write a whole number of at least 1, "
        "for example MAX_MAILBOX: 100000"
    ),
    ("ACK_TIMEOUT", "[5]"): (
        "ROOT.ACK_TIMEOUT: a list is not a number; write a number greater than 0, "
        "for example ACK_TIMEOUT: 5"
    ),
    ("ACK_TIMEOUT", ""): (
        "ROOT.ACK_TIMEOUT: no value is given; write a number greater than 0, "
        "for example ACK_TIMEOUT: 5"
    ),
    ("STANDBY", "2"): (
        "ROOT.STANDBY: 2 is neither true nor false; write true or false, for example STANDBY: false"
    ),
    ("CAMERA_NAME", "null"): (
        "ROOT.CAMERA_NAME: no value is given; write a text that is not empty, "
        "for example CAMERA_NAME: COMCAM"
    ),
    ("LOGGING_DIR", "{}"): (
        "ROOT.LOGGING_DIR: a mapping is not a path; write the whole path, beginning with /, "
        "for example LOGGING_DIR: /var/log/ccarchiver"
    ),
    ("CSC", "20"): (
        "ROOT.CSC: 20 is not a section; write its keys indented below it (BEACON), "
        "or remove the key CSC"
    ),
    ("REDIS_HOST", "[a, b]"): (
        "ROOT.REDIS_HOST: the value is not a text; write a text that is not empty, "
        "for example REDIS_HOST: 127.0.0.1"
    ),
}


@pytest.mark.parametrize(("given", "message"), EXPECTED.items())
def test_message_states_value_expectation_and_example(
    given: tuple[str, str], message: str, tmp_path: Path
) -> None:
    key, value = given
    assert str(loaded((key,), value, tmp_path)) == f"{tmp_path}/site.yaml:2: {message}"


def test_every_example_in_a_message_is_a_valid_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "true")
    checked = 0
    for path in KEYS:
        text = str(loaded(path, "[[]]", tmp_path))
        if match := re.search(r", for example ([A-Z_]+): (.+)$", text):
            assert match[1] == path[-1]
            problem = loaded(path, match[2], tmp_path)
            assert problem is None or path[0].endswith("TLS"), "a TLS file needs the other keys"
            checked += 1
    assert checked > len(KEYS) / 2


def test_key_of_a_mapping_merged_beside_root_is_rejected_by_name(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("<<: {REDIS_HOST: x}\nROOT: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"unknown key REDIS_HOST beside ROOT; move it below"):
        load_settings(file)


def test_control_character_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        "# caf\u00e9\nROOT:\n  ACK_TIMEOUT: 5\n  CAMERA_NAME: a\x07\n", encoding="utf-8"
    )
    with pytest.raises(
        ConfigError, match=rf"^{file}:4: not valid YAML: the line has the character U\+0007; remove"
    ):
        load_settings(file)
