"""Control of a light helper process: start it, send it commands, collect its recorded times."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.event_times import EventTime
from benchmarks.timestamp_recorder import COLLECT, EVENT_TIMES
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.peer_process import Peer

ROOT = Path(__file__).resolve().parents[1]
"""Folder of this package, which is not installed."""
POLL_INTERVAL_S = 0.02
ANSWER_LIMIT_S = 60.0
"""Limit for one command; a command needs milliseconds."""


class Probe(Peer):
    """A helper process of one run.

    Parameters
    ----------
    name
        Name of the process and of its files in `logs`.
    module
        Module to run with ``python -m``.
    env
        Its environment.
    logs
        Folder of its log and output.
    """

    def __init__(self, name: str, module: str, *, env: Mapping[str, str], logs: Path) -> None:
        super().__init__(
            name, module, (), env={**env, "PYTHONPATH": str(ROOT)}, logs=logs, with_stdin=True
        )
        self._read_upto = 0
        self._number = 0

    async def collect(self) -> list[EventTime]:
        """Return the times that the process has recorded since the last call."""
        self._number += 1
        self.send_command(**{COLLECT: self._number})
        answer = await self._read_answer(EVENT_TIMES, self._number)
        return [(kind, key, at) for kind, key, at in answer["items"]]

    async def _read_answer(self, event: str, number: int) -> dict[str, Any]:
        deadline = Deadline(ANSWER_LIMIT_S)
        while not deadline.has_passed():
            for line in self._new_lines():
                if line.get("event") == event and line.get("number") == number:
                    return line
            self.require_running()
            await asyncio.sleep(POLL_INTERVAL_S)
        raise TimeoutError(
            f"{self.name} did not answer within {ANSWER_LIMIT_S:g} s; {self.where()}\n{self.tail()}"
        )

    def _new_lines(self) -> list[dict[str, Any]]:
        """Return the complete lines that the process has written since the last call."""
        with self.out_path.open("rb") as out:
            out.seek(self._read_upto)
            text = out.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_upto += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
