"""scripts/banned-words finds a banned word in the texts of a file, and only there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "scripts" / "banned-words"
WORD = "no" + "body"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Return the result of the program in a repository with all files of a folder."""
    for words in (("init", "--quiet"), ("add", ".")):
        subprocess.run(["git", *words], cwd=folder, check=True)  # noqa: S607
    return subprocess.run(
        [sys.executable, PROGRAM], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", f'"""A docstring.\n\nIt says {WORD}."""\n'),
        ("a.py", f"x = 1\n\n# {WORD.title()} calls it.\n"),
        ("a.md", f"# Title\n\nHere is {WORD}.\n"),
    ],
)
def test_a_banned_word_in_a_text_is_reported_with_its_line(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    done = check(tmp_path)

    assert done.returncode == 1
    assert f"{name}:3: '{WORD}': name the subject" in done.stdout


@pytest.mark.processes
def test_a_name_in_code_and_other_words_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"{WORD} = 1\ntext = 'somewhere'\n", encoding="utf-8")

    done = check(tmp_path)

    assert (done.returncode, done.stdout) == (0, "")
