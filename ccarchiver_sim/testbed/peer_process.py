"""Simulated peers as child processes of one run."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.child_process import ChildProcess

READY_LIMIT_S = 60.0
"""A peer on SAL needs two seconds for imports and some for discovery, on a machine that starts
eight at once."""
STOP_LIMIT_S = 10.0
"""Peers end within a second."""


class Peer(ChildProcess):
    """A simulated peer as a child process.

    Its standard output has one JSON object on each line, with the key `event`. The event `ready`
    means that the peer serves.

    Parameters
    ----------
    name
        Name of the process and of its files in `logs`.
    module
        Module to run with ``python -m``.
    options
        Command line arguments.
    env
        Complete environment.
    logs
        Folder for the log and the output.
    with_stdin
        Whether the peer reads instructions from its standard input.
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
        """Start the peer without waiting.

        Events of an earlier process of the same name no longer count.
        """
        if not self.is_running:
            self._lines_before_start = len(self._lines())
        self.start()

    def printed(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the events that the running process has printed, all or those of one kind."""
        events = [json.loads(line) for line in self._lines()[self._lines_before_start :]]
        return [line for line in events if event is None or line.get("event") == event]

    async def wait_printed(self, event: str, limit: float = READY_LIMIT_S) -> dict[str, Any]:
        """Wait until the peer has printed an event, and return it.

        Raises
        ------
        ChildError
            If the peer ends first.
        WaitError
            If the event is not printed in time.
        """

        def is_printed() -> bool:
            if self.printed(event):
                return True
            self.require_running()
            return False

        await polling.wait_for(
            is_printed,
            limit,
            lambda: f"{self.name} to print {event!r}; {self.where()}\n{self.tail()}",
        )
        return self.printed(event)[0]

    async def wait_ready(self) -> None:
        """Wait until the peer serves."""
        await self.wait_printed("ready")

    def send_command(self, **words: object) -> None:
        """Write one JSON line to the peer's standard input."""
        self.stdin.write(json.dumps(words) + "\n")
        self.stdin.flush()

    def end(self) -> None:
        """Stop the peer cleanly. Safe to repeat."""
        self.stop(STOP_LIMIT_S)

    def _lines(self) -> list[str]:
        if not self.out_path.exists():
            return []
        # The last part has no newline while it is being written.
        return self.out_path.read_text(encoding="utf-8").split("\n")[:-1]
