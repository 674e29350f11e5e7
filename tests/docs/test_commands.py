"""Every command of the documents is run by a test, or it is known why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.command_registry import LINES, Way, commands_of, line_of
from tests.docs.documents import ROOT, commands

pytestmark = pytest.mark.processes

SHOWN = commands()
TYPED_BLIND = "a password that nobody sees\n"
"""For those that ask for one."""


def shell(command: str, cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Give a command to a shell as a user of a set-up checkout has it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["/bin/bash", *options, "-c", command],
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        input=TYPED_BLIND,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_command_is_accounted_for() -> None:
    unknown = {command: places for command, places in SHOWN.items() if line_of(command) is None}
    assert unknown == {}, "add a line to tests/docs/command_registry.py for each, one that runs it if that is possible"


def test_no_line_is_left_over_from_commands_that_were() -> None:
    used = {line_of(command) for command in SHOWN}
    assert [line.pattern for line in LINES if line not in used] == []


@pytest.mark.parametrize("test", sorted({line.why for line in LINES if line.way is Way.OWN}))
def test_the_test_of_its_own_there_is(test: str) -> None:
    path, name = test.split("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)


def test_who_runs_nothing_says_why() -> None:
    for line in LINES:
        assert bool(line.why) == (line.way in {Way.OWN, Way.ELSEWHERE}), line


@pytest.mark.processes
@pytest.mark.parametrize("command", commands_of(Way.TARGET, list(SHOWN)))
def test_make_knows_the_target_and_its_variables(command: str) -> None:
    done = shell(f"{command} --dry-run" if command != "make help" else command, ROOT)
    assert done.returncode == 0, done.stderr
    given = re.findall(r"\b([A-Z]+)=", command)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name} \?=", makefile, re.MULTILINE) for name in given), "make knows no such variable"


@pytest.mark.processes
@pytest.mark.parametrize("command", commands_of(Way.ALONE, list(SHOWN)))
def test_it_needs_nothing_and_works(command: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.processes
@pytest.mark.parametrize("command", commands_of(Way.ELSEWHERE, list(SHOWN)))
def test_a_shell_can_read_it(command: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path, "-n")
    assert done.returncode == 0, done.stderr
