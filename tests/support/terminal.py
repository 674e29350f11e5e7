"""An operator's terminal for a running archiver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ccarchiver_sim.testbed import polling
from tests.cli.cli_runner import Answer
from tests.support.archiver_harness import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_sim.testbed.rig import Rig
    from tests.support.cli_server import CliServer


class Terminal:
    """Runs `ccarchiver` with the environment of a site.

    Parameters
    ----------
    cli_server
        Runs the program.
    rig
        The site.
    """

    def __init__(self, cli_server: CliServer, rig: Rig) -> None:
        self._cli_server = cli_server
        self._rig = rig

    async def run(self, *words: str) -> Answer:
        """Run a command to its end."""
        return Answer(*await asyncio.to_thread(self._cli_server.run, words, self._rig.env))

    async def until_output(self, wanted: str, *words: str) -> Answer:
        """Repeat a command until its output contains some words."""
        return await self._until(lambda answer: wanted in answer.words, repr(wanted), *words)

    async def until_json(self, field: str, *words: str) -> Answer:
        """Repeat a command until a field of its JSON output is not empty."""
        return await self._until(lambda answer: bool(answer.json[field]), field, *words)

    async def _until(self, condition: Callable[[Answer], bool], what: str, *words: str) -> Answer:
        last = Answer(-1, "", "")

        async def answered() -> bool:
            nonlocal last
            last = await self.run(*words)
            return condition(last)

        await polling.wait_for_async(
            answered, LIMIT_S, lambda: f"{what} from {words}; the last output was {last}"
        )
        return last
