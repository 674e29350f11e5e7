"""A demo night of which the archiver misses every exposure at first, and which it catches up."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lsst.ts import salobj
from typing_extensions import override

from ccarchiver_sim import pace
from ccarchiver_sim.demo.night import COMPLETE_LIMIT_S, READOUT_MARGIN_S, Night
from ccarchiver_sim.demo.progress import NightProgress
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.peers.camera.exposure import observing_date
from ccarchiver_sim.testbed.delivery_check import DeliveryCheck
from ccarchiver_sim.testbed.polling import POLL_INTERVAL_S, wait_for
from ccarchiver_sim.testbed.sal_observer import END_READOUT

if TYPE_CHECKING:
    import subprocess

SETTINGS = {"CATCH_UP": "automatic"}
"""ROOT keys of the site for this night."""
CSC = "sal"
"""The worker that is killed."""
COMMAND_LIMIT_S = 30.0
"""Limit for `ccarchiver night`, which takes half a second."""


def overridden(settings: Mapping[str, object]) -> list[str]:
    """Return a line for each setting of a site file that this night replaces by another value."""
    return [
        f"{key}: {settings[key]} of the site file is replaced by {value} for this catch-up"
        for key, value in SETTINGS.items()
        if key in settings and settings[key] != value
    ]


class MissedNight(Night):
    """A night in which the CSC is in STANDBY for half of the exposures and dead for the others."""

    @override
    async def run(self) -> list[DeliveryCheck]:
        step, rig, plan = self._steps.step, self._rig, self._plan
        day = observing_date(datetime.now(UTC))
        await self._start()
        in_standby = plan.images // 2
        while_dead = plan.images - in_standby
        with step(f"{in_standby} exposures while {rig.names.archiver} is in STANDBY"):
            await self.watched(self._take(in_standby))
        with step(f"{rig.names.archiver} killed, {while_dead} exposures without it"):
            await self._kill_csc()
            await self.watched(self._take(while_dead))
        with step(f"{rig.names.archiver} started again, and ENABLED"):
            position = rig.observer.position
            await asyncio.to_thread(rig.supervisor.start_worker, CSC)
            await rig.observer.wait_state(salobj.State.STANDBY, since=position)
            await self.watched(rig.observer.go_to(salobj.State.ENABLED))
        with step(f"catch-up of {plan.images} exposures"):
            await self.watched(self._catch_up())
        await self._summarize(day)
        checks = self._checks()
        await self._end()
        return checks

    async def _take(self, count: int) -> None:
        """Take exposures, and wait until the camera has read them out."""
        expected = len(self._checks()) + count
        await self._command_camera(count)
        observer = self._rig.observer
        await wait_for(
            lambda: len(observer.of(END_READOUT)) >= expected,
            self._plan.cadence + READOUT_MARGIN_S,
            lambda: f"{expected} readouts; there were {len(observer.of(END_READOUT))}",
        )

    async def _kill_csc(self) -> None:
        """Kill the CSC as a crash does, and keep supervisord from starting it again."""
        supervisor = self._rig.supervisor
        killed = (await asyncio.to_thread(supervisor.status))[CSC].pid
        await asyncio.to_thread(supervisor.kill_worker, CSC)
        limit = Deadline(READOUT_MARGIN_S)
        # supervisorctl can stop only a worker that runs, so its restart must have begun.
        while (await asyncio.to_thread(supervisor.status))[CSC].pid in (None, killed):
            if limit.has_passed():
                raise TimeoutError("supervisord did not start the killed CSC again")
            await asyncio.sleep(POLL_INTERVAL_S)
        await asyncio.to_thread(supervisor.stop_worker, CSC)

    async def _catch_up(self) -> None:
        """Show the progress until all exposures are complete, or none becomes so for a minute."""
        with NightProgress(self._console, self._plan.images, self.expected) as progress:
            printed: set[str] = set()
            limit = Deadline(COMPLETE_LIMIT_S)
            while not limit.has_passed() and len(printed) < self._plan.images:
                before = len(printed)
                self._show(progress, self._checks(), printed)
                if len(printed) > before:
                    limit = Deadline(COMPLETE_LIMIT_S)
                self._require_no_fault()
                await asyncio.sleep(POLL_INTERVAL_S)

    async def _summarize(self, day: str) -> None:
        """Run `ccarchiver night`, and keep its output and its exit code."""
        argv = [sys.executable, "-m", "ccarchiver_cli.main", "night", day]
        done: subprocess.CompletedProcess[str] = await asyncio.to_thread(
            pace.run, argv, COMMAND_LIMIT_S, env=self._rig.env, capture_output=True, text=True
        )
        self.summary = f"$ ccarchiver night {day}\n{done.stdout}{done.stderr}".rstrip()
        self.is_well = done.returncode == 0
