"""The help of every command on every kind of standard output, and ``doctor`` without a site."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from ccarchiver_cli.main import main, make_app
from ccarchiver_core.base.exit_codes import EXIT_CONFIG, EXIT_OUTPUT
from ccarchiver_core.base.resilient_output import STDERR, STDOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TERMINALS = (
    ("utf-8", {"COLUMNS": "20"}),
    ("latin-1", {"COLUMNS": "20"}),
    ("ascii", {"TERM": "dumb"}),
)
"""Encoding and environment variables of each kind of terminal."""


def words_of(command: object, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of a command and of all commands below it."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from words_of(below, (*words, name))


every_command = pytest.mark.parametrize(
    "words", list(words_of(get_command(make_app()))), ids=" ".join
)


class Outputs:
    """Runs the program ``ccarchiver`` in this process on other standard streams."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._errors = directory / "stderr"
        self._monkeypatch = monkeypatch

    def run(self, words: tuple[str, ...], output: int, encoding: str = "utf-8") -> tuple[int, str]:
        """Run a command; return its exit code and what it writes to standard error."""
        errors = os.open(self._errors, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        kept = {descriptor: os.dup(descriptor) for descriptor in (STDOUT, STDERR)}
        try:
            with self._monkeypatch.context() as patch:
                patch.setattr(sys, "argv", ["ccarchiver", *words])
                for name, descriptor, to in (
                    ("stdout", STDOUT, output),
                    ("stderr", STDERR, errors),
                ):
                    os.dup2(to, descriptor)
                    stream = os.fdopen(descriptor, "w", encoding=encoding, closefd=False)
                    patch.setattr(sys, name, stream)
                    patch.setattr(sys, f"__{name}__", stream)
                with pytest.raises(SystemExit) as ended:
                    main()
        finally:
            os.close(errors)
            for descriptor, copy in kept.items():
                os.dup2(copy, descriptor)
                os.close(copy)
        assert isinstance(ended.value.code, int)
        return ended.value.code, self._errors.read_text(encoding)


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outputs:
    return Outputs(tmp_path, monkeypatch)


@every_command
@pytest.mark.parametrize(("encoding", "env"), TERMINALS, ids=[name for name, _ in TERMINALS])
def test_help_is_printed_in_every_encoding(
    words: tuple[str, ...],
    encoding: str,
    env: dict[str, str],
    outputs: Outputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    printed = tmp_path / "stdout"
    with printed.open("w") as file:
        ended = outputs.run((*words, "--help"), file.fileno(), encoding)

    assert ended == (0, "")
    assert "Usage" in printed.read_text(encoding)


@every_command
def test_help_ends_as_usual_if_nobody_reads_it(words: tuple[str, ...], outputs: Outputs) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert outputs.run((*words, "--help"), writing) == (0, "")
    finally:
        os.close(writing)


@every_command
def test_help_on_a_full_disk_ends_with_a_message(words: tuple[str, ...], outputs: Outputs) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        ended = outputs.run((*words, "--help"), full)
    finally:
        os.close(full)

    reason = "the output cannot be written: No space left on device"
    assert ended == (EXIT_OUTPUT, f"ccarchiver: {reason}\n")


@pytest.mark.processes
def test_doctor_prints_its_arrows_in_ascii(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "IIP_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "ccarchiver_cli.main", "doctor"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )

    assert (done.returncode, done.stderr) == (EXIT_CONFIG, "")
    assert "->" in done.stdout
