"""``ccarchiver doctor`` for integration tests."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from ccarchiver_sim.testbed import polling
from tests.support.archiver_harness import LIMIT_S

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.rig import Rig
    from tests.support.cli_server import CliServer, Typed

Report = dict[str, Any]

ROOM = "left"
"""Last word of a line about this machine's disk, which the tests ignore."""


class Doctor:
    """The doctor of one archiver.

    Parameters
    ----------
    cli_server
        Runs the program.
    rig
        The archiver.
    """

    def __init__(self, cli_server: CliServer, rig: Rig) -> None:
        self._cli_server = cli_server
        self._rig = rig

    async def run(self, *options: str) -> Typed:
        """Run the program in a terminal of 80 columns."""
        env = self._rig.env | {"COLUMNS": "80"}
        return await asyncio.to_thread(self._cli_server.run, ("doctor", *options), env)

    async def report(self, expected_exit: int) -> list[Report]:
        """Run the checks; leave out findings that are ok and the disk of this machine."""
        done = await self.run("--json")
        assert "Traceback" not in done.stderr
        bad = _bad(done)
        assert done.returncode == expected_exit, bad
        return bad

    async def settled(self) -> None:
        """Wait until there are no findings: heartbeats show a new state within a second."""
        last: list[Report] = []

        async def well() -> bool:
            last[:] = _bad(await self.run("--json"))
            return not last

        await polling.wait_for_async(
            well, LIMIT_S, lambda: f"the doctor to find nothing; it found {last}"
        )


def checks_of(bad: list[Report]) -> set[str]:
    """Return the names of the checks with findings."""
    return {one["check"] for one in bad}


def _bad(done: Typed) -> list[Report]:
    checks: list[Report] = json.loads(done.stdout)["checks"]
    return [one for one in checks if one["level"] != "ok" and ROOM not in one["found"]]
