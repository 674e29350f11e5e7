"""Every command of the documents is run by a test or has a reason why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.command_registry import LINES, Verification, commands_of, line_of
from tests.docs.documents import ROOT, commands

pytestmark = pytest.mark.processes

SHOWN = commands()
HIDDEN_INPUT = "a hidden password\n"
"""Input for commands that read a password."""


def shell(command: str, cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, with the environment of a set-up checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["/bin/bash", *options, "-c", command],
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        input=HIDDEN_INPUT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_documented_command_is_in_the_registry() -> None:
    unknown = {command: places for command, places in SHOWN.items() if line_of(command) is None}
    assert unknown == {}, (
        "add a line to tests/docs/command_registry.py for each, if possible one that runs it"
    )


def test_each_registry_line_matches_a_documented_command() -> None:
    used = {line_of(command) for command in SHOWN}
    assert [line.pattern for line in LINES if line not in used] == []


@pytest.mark.parametrize(
    "test", sorted({line.detail for line in LINES if line.verification is Verification.OWN_TEST})
)
def test_each_test_named_in_the_registry_exists(test: str) -> None:
    path, name = test.split("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)


def test_each_command_that_is_not_run_has_a_reason() -> None:
    for line in LINES:
        assert bool(line.detail) == (
            line.verification in {Verification.OWN_TEST, Verification.NOT_RUN}
        ), line


@pytest.mark.processes
@pytest.mark.parametrize("command", commands_of(Verification.MAKE_TARGET, list(SHOWN)))
def test_documented_make_target_and_variables_exist(command: str) -> None:
    done = shell(f"{command} --dry-run" if command != "make help" else command, ROOT)
    assert done.returncode == 0, done.stderr
    given = re.findall(r"\b([A-Z]+)=", command)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name} \?=", makefile, re.MULTILINE) for name in given), (
        "unknown make variable"
    )


@pytest.mark.processes
@pytest.mark.parametrize("command", commands_of(Verification.STANDALONE, list(SHOWN)))
def test_standalone_command_succeeds(command: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.processes
@pytest.mark.parametrize("command", commands_of(Verification.NOT_RUN, list(SHOWN)))
def test_unexecuted_command_has_valid_shell_syntax(command: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path, "-n")
    assert done.returncode == 0, done.stderr
