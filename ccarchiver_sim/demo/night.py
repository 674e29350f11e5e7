"""One demo night: start the archiver, take exposures, watch the files arrive, stop it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lsst.ts import salobj
from rich.console import Console

from ccarchiver_core.config.settings import load_settings
from ccarchiver_sim.demo.progress import NightProgress, Steps
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.peers.camera.exposure import SOURCE, SOURCES, image_name, observing_date
from ccarchiver_sim.peers.common.daq import DaqCatalogue
from ccarchiver_sim.peers.forwarder.fitsfile import DEFAULT_AMPLIFIERS
from ccarchiver_sim.raws.segments import AMPLIFIERS
from ccarchiver_sim.testbed.delivery_check import DeliveryCheck, check_delivery
from ccarchiver_sim.testbed.polling import POLL_INTERVAL_S
from ccarchiver_sim.testbed.rig import CAMERA, Rig
from ccarchiver_sim.testbed.sal_observer import END_READOUT

COMPLETE_LIMIT_S = 60.0
"""Limit for the files of the last image after its readout; they take less than a second on an idle
machine."""
EXPOSURE_S = 1.0
"""Duration of each exposure, or half the cadence if that is shorter."""
MOST_WHOLE_CCDS = 30
"""Files of an image up to which each has all its amplifiers. One file then costs 25 ms of CPU time:
a fifth of a second for ComCam's nine, five seconds for a full focal plane."""
READOUT_MARGIN_S = 60.0
"""Time in addition to the planned time of all exposures, for a machine that is slow with eight new
processes."""


AGE_BEYOND_WINDOW = timedelta(days=1)
"""Age beyond SCAN_WINDOW of the image that the data acquisition has at the start."""


def add_old_image(rig: Rig) -> None:
    """Add an image to the camera's data acquisition that is too old to be listed.

    A Forwarder that finds no image at all does not answer SCAN, and the first scan takes place
    before the first exposure.
    """
    window = timedelta(seconds=load_settings(rig.folder.site_file).scan_window)
    taken = datetime.now(UTC) - window - AGE_BEYOND_WINDOW
    source = SOURCES.get(rig.names.camera, SOURCE)
    name = image_name(observing_date(taken), 1, source)
    DaqCatalogue(rig.folder.daq).add(name, taken.timestamp())


@dataclass(frozen=True)
class NightPlan:
    """Number and cadence of the exposures."""

    images: int
    cadence: float
    """Seconds from the start of one exposure to the start of the next."""


class Night:
    """The steps of a demo night on a rig."""

    def __init__(self, rig: Rig, plan: NightPlan, console: Console) -> None:
        self._rig = rig
        self._plan = plan
        self._console = console
        self._steps = Steps(console, rig.how_a_program_ended)
        self.expected = load_settings(rig.folder.site_file).files_per_image
        self.summary = ""
        """Output of `ccarchiver night`, if the night has one."""
        self.is_well = True
        """Whether `ccarchiver night` reports that nothing is missing."""

    async def run(self) -> list[DeliveryCheck]:
        """Run all steps and return the counts of each exposure.

        Raises
        ------
        StepError
            If a step fails; an incomplete exposure is not a failure here.
        """
        step = self._steps.step
        rig = self._rig
        await self._start()
        with step(f"{rig.names.archiver} from STANDBY to ENABLED"):
            await self.watched(rig.observer.go_to(salobj.State.ENABLED))
        with step(f"{self._plan.images} exposures, one every {self._plan.cadence:g} s"):
            await self.watched(self._expose())
        checks = self._checks()
        await self._end()
        return checks

    async def _start(self) -> None:
        rig = self._rig
        with self._steps.step(
            "private Redis and RabbitMQ, workers under supervisord, simulated peers"
        ):
            # All at once: each program waits until its broker serves.
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(rig.start_brokers())
                tasks.create_task(rig.start_workers())
                tasks.create_task(self.start_peers())

    async def _end(self) -> None:
        rig = self._rig
        with self._steps.step(f"{rig.names.archiver} back to STANDBY"):
            await self.watched(rig.observer.go_to(salobj.State.STANDBY))

    async def start_peers(self) -> None:
        """Start the peers; camera and Forwarder share the images of the data acquisition.

        The data backbone takes the files out of its staging tree, as at the observatory.
        """
        rig = self._rig
        add_old_image(rig)
        daq = ("--daq", str(rig.folder.daq))
        amplifiers = ("--amplifiers", str(self._amplifiers))
        backbone = rig.start_backbone()
        await rig.start_peers(*amplifiers, *daq, camera_options=daq)
        await backbone.wait_ready()

    @property
    def _amplifiers(self) -> int:
        return AMPLIFIERS if self.expected <= MOST_WHOLE_CCDS else DEFAULT_AMPLIFIERS

    async def watched(self, work: Coroutine[object, object, object]) -> None:
        """Wait for a coroutine, and cancel it as soon as a program of the rig has ended.

        Raises
        ------
        ExceptionGroup
            If the coroutine fails or a program has ended; the group has the error.
        """
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._require_running())
            await tasks.create_task(work)
            watch.cancel()

    async def _require_running(self) -> None:
        # Nothing notifies of the end of a program.
        while (ended := self._rig.how_a_program_ended()) is None:  # noqa: ASYNC110
            await asyncio.sleep(POLL_INTERVAL_S)
        raise RuntimeError(ended)

    async def _expose(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._command_camera(self._plan.images))
            with NightProgress(self._console, self._plan.images, self.expected) as progress:
                await self._watch(progress)

    async def _command_camera(self, count: int) -> None:
        for number in range(count):
            self._rig.take(exposure=min(EXPOSURE_S, self._plan.cadence / 2))
            if number + 1 < count:
                await asyncio.sleep(self._plan.cadence)

    async def _watch(self, progress: NightProgress) -> None:
        """Show the progress until all exposures are complete or the limit has passed."""
        readouts = limit = Deadline(self._plan.images * self._plan.cadence + READOUT_MARGIN_S)
        printed: set[str] = set()
        while not limit.has_passed() and len(printed) < self._plan.images:
            checks = self._checks()
            self._show(progress, checks, printed)
            if len(checks) == self._plan.images and limit is readouts:
                limit = Deadline(COMPLETE_LIMIT_S)
            self._require_no_fault()
            await asyncio.sleep(POLL_INTERVAL_S)
        if len(self._checks()) < self._plan.images:
            raise TimeoutError(
                f"the camera read out {len(self._checks())} of {self._plan.images} exposures in "
                f"time; {self._rig.peers[CAMERA].where()}"
            )

    def _require_no_fault(self) -> None:
        """Raise RuntimeError with the CSC's own error text if it is in FAULT."""
        if self._rig.observer.state == salobj.State.FAULT:
            code, report = self._rig.observer.last_error()
            raise RuntimeError(f"{self._rig.names.archiver} went to FAULT: {code}, {report}")

    def _show(
        self, progress: NightProgress, checks: list[DeliveryCheck], printed: set[str]
    ) -> None:
        """Show the progress, and print each image once when it is complete."""
        complete = [check for check in checks if check.is_complete(self.expected)]
        progress.show(
            read_out=len(checks),
            retrieved=sum(check.retrieved for check in checks),
            ingested=sum(check.ingested for check in checks),
            complete=len(complete),
        )
        for check in complete:
            if check.obsid not in printed:
                printed.add(check.obsid)
                when = f"{check.seconds or 0:.2f} s after readout"
                progress.line(
                    f"  {len(printed)} of {self._plan.images}: {check.obsid} complete, {when}"
                )

    def _checks(self) -> list[DeliveryCheck]:
        names = [event.fields["imageName"] for event in self._rig.observer.of(END_READOUT)]
        return [check_delivery(self._rig.observer, self._rig.folder, name) for name in names]
