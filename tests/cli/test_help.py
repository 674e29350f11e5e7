"""The help of each command: one style of placeholders, and plain sentences."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from ccarchiver_cli.main import make_app

GROUPS = {
    "pair": ("show", "release", "next"),
    "deadletter": ("list", "show", "requeue", "drop"),
    "config": ("check", "show", "migrate"),
}
PATHS = [
    (),
    *((name,) for name in ("status", "image", "images", "night", "logs", "doctor")),
    *((group,) for group in GROUPS),
    *((group, name) for group, names in GROUPS.items() for name in names),
]


def help_of(*path: str) -> str:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(
        make_app(*path[:1]), [*path, "--help"], prog_name="ccarchiver"
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_placeholders_are_upper_case_and_without_types(path: tuple[str, ...]) -> None:
    text = help_of(*path)

    [usage] = re.findall(r"Usage: ccarchiver (.*)", text)
    placeholders = usage.split()[len(path) :]
    assert placeholders
    assert [word for word in placeholders if word != word.upper()] == []
    assert re.findall(r"<\w+[^=]*>", text) == [], "a type in place of a placeholder"


@pytest.mark.parametrize("path", [path for path in PATHS if path], ids=" ".join)
def test_each_option_and_argument_has_a_sentence(path: tuple[str, ...]) -> None:
    lines = [line.strip("│ ") for line in help_of(*path).splitlines()]
    options = [line for line in lines if line.startswith("--")]
    assert options
    for option in options:
        assert re.search(r"\s{2,}[A-Z]\w", option), option


def test_help_of_retry_and_replay_states_the_difference() -> None:
    for command in ("image", "night"):
        text = " ".join(help_of(command).split())
        assert (
            "image NAME --retry starts one failed image again from its first instruction." in text
        )
        assert "night --replay continues all unfinished images of" in text
