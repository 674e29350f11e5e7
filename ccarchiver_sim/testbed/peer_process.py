"""Simulated peers as processes of one run."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.child_process import ChildProcess

READY_LIMIT_S = 60.0
"""A peer on SAL imports for two seconds and needs some for discovery, on a machine that starts eight at once."""
STOP_LIMIT_S = 10.0
"""Peers end within a second."""


class Peer(ChildProcess):
    """One simulated peer.

    Its standard output has one JSON object a line, with the key `event`; `ready` says that it serves.

    Parameters
    ----------
    name
        Of this process; its files in `logs` are called so.
    module
        What to run with ``python -m``.
    options
        Its command line.
    env
        Its environment.
    logs
        Folder for its log and its output.
    with_stdin
        Whether it is to be told things on its standard input.
    """

    def __init__(
        self,
        name: str,
        module: str,
        options: Sequence[str],
        *,
        env: Mapping[str, str],
        logs: Path,
        with_stdin: bool = False,
    ) -> None:
        super().__init__(
            name,
            [sys.executable, "-m", module, *options],
            env=env,
            log_path=logs / f"{name}.log",
            out_path=logs / f"{name}.jsonl",
            with_stdin=with_stdin,
        )
        self.options = tuple(options)
        self._lines_before_start = 0

    def launch(self) -> None:
        """Start it without waiting; what an earlier process of the same name said no longer counts."""
        if not self.is_running:
            self._lines_before_start = len(self._lines())
        self.start()

    def said(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what the running process said so far, all or one kind of event."""
        spoken = [json.loads(line) for line in self._lines()[self._lines_before_start :]]
        return [line for line in spoken if event is None or line.get("event") == event]

    async def wait_said(self, event: str, limit: float = READY_LIMIT_S) -> dict[str, Any]:
        """Wait until it has said something and return that line.

        Raises
        ------
        ChildError
            If it ends before.
        WaitError
            If it does not say it in time.
        """

        def heard() -> bool:
            if self.said(event):
                return True
            self.require_running()
            return False

        await polling.wait_for(heard, limit, lambda: f"{self.name} to say {event!r}; {self.where()}\n{self.tail()}")
        return self.said(event)[0]

    async def wait_ready(self) -> None:
        """Wait until it serves."""
        await self.wait_said("ready")

    def tell(self, **words: object) -> None:
        """Write one JSON line on its standard input."""
        self.stdin.write(json.dumps(words) + "\n")
        self.stdin.flush()

    def end(self) -> None:
        """Stop it cleanly. Safe to repeat."""
        self.stop(STOP_LIMIT_S)

    def _lines(self) -> list[str]:
        if not self.out_path.exists():
            return []
        # The last part has no newline yet when it is being written.
        return self.out_path.read_text(encoding="utf-8").split("\n")[:-1]
