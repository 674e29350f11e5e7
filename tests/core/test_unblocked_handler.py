"""UnblockedHandler: a worker does not wait for the program that reads its standard error."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.log.unblocked_handler import UnblockedHandler
from ccarchiver_sim.pace import communicate

if TYPE_CHECKING:
    from pathlib import Path

LINES = 2000
"""More than a pipe of 64 kB holds."""
LIMIT_S = 60.0

PROGRAM = f"""
import pathlib, sys
import structlog
from ccarchiver_core.log import logs

logs.configure("bridge", pathlib.Path(sys.argv[1]))
log = structlog.get_logger("test")
for number in range({LINES}):
    log.info("line", number=number, text="x" * 100)
print("all lines logged", flush=True)
sys.stdin.readline()
log.info("last", text="y" * 10_000)
"""


@pytest.mark.processes
def test_worker_continues_while_nothing_reads_its_standard_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == "all lines logged\n"
        program.stdin.write("\n")
        program.stdin.flush()
        _, errors = communicate(program, LIMIT_S)

    in_file = (tmp_path / "ccarchiver_bridge.log").read_text(encoding="utf-8").splitlines()
    assert len(in_file) == LINES + 1
    assert [json.loads(line)["number"] for line in in_file[:-1]] == list(range(LINES))
    assert len(errors.splitlines()) < LINES


def test_first_line_after_dropped_ones_gives_their_number() -> None:
    stream = io.StringIO()
    handler = UnblockedHandler(stream)
    handler._has_descriptor = True
    ready: list[list[tuple[int, int]]] = [[(2, 4)], [], [], [(2, 4)], [(2, 4)]]
    handler._poll = ScriptedPoll(ready)  # type: ignore[assignment]  # the only method that is used

    for name in "abcde":
        handler.emit(logging.makeLogRecord({"msg": name}))

    assert stream.getvalue().splitlines() == [
        "a",
        "(2 lines before are only in the log file)",
        "d",
        "e",
    ]


class ScriptedPoll:
    """Returns prepared results."""

    def __init__(self, results: list[list[tuple[int, int]]]) -> None:
        self._results = results

    def poll(self, _timeout: int) -> list[tuple[int, int]]:
        return self._results.pop(0)
