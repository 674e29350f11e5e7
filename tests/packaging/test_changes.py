"""The change fragments: each name is valid, and the release notes contain each fragment."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from ccarchiver_sim import pace

ROOT = Path(__file__).parent.parent.parent
CHANGES = ROOT / "changes"
LIMIT_S = 60.0
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "towncrier"
]
TYPES = [one["directory"] for one in CONFIGURATION["type"]]
NAME = re.compile(rf"\+[a-z0-9-]+\.({'|'.join(TYPES)})\.md")


def fragments() -> list[Path]:
    return sorted(path for path in CHANGES.iterdir() if path.name != "README.md")


def test_change_fragment_names_are_valid() -> None:
    assert [path.name for path in fragments() if NAME.fullmatch(path.name) is None] == []
    readme = (CHANGES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{kind}`" in readme for kind in TYPES)


@pytest.mark.processes
def test_release_notes_contain_every_fragment_and_the_changelog_has_the_marker() -> None:
    towncrier = Path(sys.executable).parent / "towncrier"
    argv = [str(towncrier), "build", "--draft", "--version", "98.7.6"]
    done = pace.run(argv, LIMIT_S, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "## 98.7.6 (" in done.stdout
    for path in fragments():
        text = path.read_text(encoding="utf-8").strip()
        assert text.endswith("."), f"{path.name} must consist of sentences"
        assert " ".join(text.split()) in " ".join(done.stdout.split()), path.name
    assert (ROOT / CONFIGURATION["filename"]).read_text(encoding="utf-8").count(
        CONFIGURATION["start_string"]
    ) == 1
