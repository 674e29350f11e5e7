"""The outside of a light helper process: starting it, telling it what to do, taking its notes."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.event_times import Receipt
from benchmarks.timestamp_recorder import RECEIPTS, TAKE
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.peer_process import Peer

ROOT = Path(__file__).resolve().parents[1]
"""Where this package is found: it is not installed."""
LOOK_EVERY_S = 0.02
ANSWER_LIMIT_S = 60.0
"""For one command; it takes milliseconds."""


class Probe(Peer):
    """A helper process of one run.

    Parameters
    ----------
    name
        Of this process; its files in `logs` are called so.
    module
        What to run with ``python -m``.
    env, logs
        Its environment; the folder for its log and output.
    """

    def __init__(self, name: str, module: str, *, env: Mapping[str, str], logs: Path) -> None:
        super().__init__(name, module, (), env={**env, "PYTHONPATH": str(ROOT)}, logs=logs, with_stdin=True)
        self._read_upto = 0
        self._number = 0

    async def take(self) -> list[Receipt]:
        """Take its notes; it then begins anew."""
        self._number += 1
        self.tell(**{TAKE: self._number})
        answer = await self._answer(RECEIPTS, self._number)
        return [(kind, key, at) for kind, key, at in answer["items"]]

    async def _answer(self, event: str, number: int) -> dict[str, Any]:
        deadline = Deadline(ANSWER_LIMIT_S)
        while not deadline.has_passed():
            for line in self._fresh():
                if line.get("event") == event and line.get("number") == number:
                    return line
            self.require_running()
            await asyncio.sleep(LOOK_EVERY_S)
        raise TimeoutError(f"{self.name} did not answer within {ANSWER_LIMIT_S:g} s; {self.where()}\n{self.tail()}")

    def _fresh(self) -> list[dict[str, Any]]:
        """Read what it wrote since the last look, whole lines only."""
        with self.out_path.open("rb") as out:
            out.seek(self._read_upto)
            text = out.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_upto += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
