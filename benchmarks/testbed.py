"""The system under test: a whole archiver, its scripted peers, a camera and the sink."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from lsst.ts import salobj

from benchmarks.event_times import PUT, EventTimes, now
from benchmarks.probe import Probe
from benchmarks.sal import Commander, floor_partition
from benchmarks.sink import floor_settings, make_floor_stream
from ccarchiver_bridge.amqp.connection import AmqpConnection
from ccarchiver_core.config.credentials import load_credentials
from ccarchiver_core.config.dds_environment import PARTITION
from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.peers.camera.exposure import Exposure, image_name, observing_date
from ccarchiver_sim.peers.common.sal import SalComponent, sal_component, tai_now
from ccarchiver_sim.testbed.environment import applied
from ccarchiver_sim.testbed.folder import CREDENTIAL_FILE
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.sal_observer import CAMERA, END_READOUT
from ccarchiver_sim.testbed.supervisor import Supervisor

START, END, HEADER = "startIntegration", END_READOUT, "largeFileObjectAvailable"
"""The events of one exposure."""
HEADER_SERVICE = "CCHeaderService"
HEADER_URL = "http://127.0.0.1:8000/CCHeaderService_header_{image}.yaml"
"""No process fetches it: the scripted Forwarder moves no files."""
QUIET_S = 10.0
"""What has not arrived this long after the last arrival counts as missing."""
POLL_INTERVAL_S = 0.2
Part = TypeVar("Part")
BOARDS_OF_COMCAM = ("22/0", "22/1", "22/2")
"""Nine CCDs."""
ONE_BOARD = ("22/0",)
"""Three CCDs, for measurements that do not depend on their number."""


class BenchmarkTestbed:
    """The system under test, as a measurement uses it; `open_testbed` creates it.

    Parameters
    ----------
    settings
        Keys of the site file.
    parent
        Parent of the run's folder.
    """

    def __init__(self, settings: Mapping[str, object], parent: Path | None) -> None:
        self.rig = Rig(settings, parent=parent)
        self.rig.observer = Commander()
        self.settings = load_settings(self.rig.folder.site_file)
        self.event_times = EventTimes()
        self.sink = self._make_probe("sink")
        self.peers = self._make_probe("peers")
        self.redis = make_client(self.settings)
        self.floor_redis = make_client(floor_settings(self.settings))
        self._camera: SalComponent | None = None
        self._headers: SalComponent | None = None
        self._floor: SalComponent | None = None
        self._link: AmqpConnection | None = None
        self._images = 0

    def _make_probe(self, name: str) -> Probe:
        probe = Probe(name, f"benchmarks.{name}", env=self.rig.env, logs=self.rig.folder.logs)
        self.rig.peers[name] = probe
        return probe

    @property
    def floor_camera(self) -> SalComponent:
        """A camera whose events only the sink receives."""
        return _entered(self._floor)

    @property
    def link(self) -> AmqpConnection:
        """The driver's own connection to RabbitMQ."""
        return _entered(self._link)

    async def open(self, stack: AsyncExitStack) -> None:
        """Start everything except the session; the stack closes it."""
        rig = self.rig
        stack.push_async_callback(rig.close)
        await rig.start_brokers()
        await stack.enter_async_context(rig)
        credentials = load_credentials(rig.folder.credentials / CREDENTIAL_FILE)
        for client in (self.redis, self.floor_redis):
            stack.push_async_callback(client.aclose)
        self._link = await AmqpConnection.open(self.settings, credentials)
        stack.push_async_callback(self._link.close)
        await make_floor_stream(self.floor_redis)
        self._camera = await stack.enter_async_context(sal_component(CAMERA))
        self._headers = await stack.enter_async_context(sal_component(HEADER_SERVICE))
        with applied({PARTITION: floor_partition(rig.sal[PARTITION])}):
            self._floor = await stack.enter_async_context(sal_component(CAMERA))
        for probe in (self.sink, self.peers):
            probe.launch()
        rig.supervisor.start()
        await asyncio.gather(self.sink.wait_ready(), self.peers.wait_ready(), rig.start_workers())

    async def enable(self) -> None:
        """Bring the CSC to ENABLED."""
        await self.rig.observer.go_to(salobj.State.ENABLED)

    # ---- the camera

    def new_images(self, count: int) -> list[str]:
        """Return names of images that have not been used."""
        day = observing_date(datetime.now(UTC))
        first, self._images = self._images + 1, self._images + count
        return [image_name(day, number) for number in range(first, first + count)]

    async def put(self, topic: str, image: str) -> None:
        """Send one event of an exposure and record its time."""
        tai = tai_now()
        if topic == HEADER:
            component = _entered(self._headers)
            fields: Mapping[str, str | float | bool] = {
                "id": image,
                "url": HEADER_URL.format(image=image),
                "generator": HEADER_SERVICE,
                "version": 1.0,
                "byteSize": 1,
                "checkSum": "",
                "mimeType": "application/yaml",
            }
        else:
            component = _entered(self._camera)
            exposure = Exposure(image)
            fields = (
                exposure.start_integration(tai)
                if topic == START
                else exposure.end_readout(tai, tai)
            )
        self.event_times.record(PUT + topic, image, now())
        await component.put(topic, **fields)

    # ---- recorded times

    async def collect(self, kind: str, keys: Sequence[str], quiet_s: float = QUIET_S) -> list[str]:
        """Collect recorded times until each key has an event of a kind, or until a time limit.

        The limit counts from the last new event.

        Returns
        -------
        missing
            The images or files without this event.
        """
        quiet = Deadline(quiet_s)
        while True:
            new_times = [*await self.sink.collect(), *await self.peers.collect()]
            self.event_times.add(new_times)
            missing = self.event_times.missing(kind, keys)
            if not missing:
                return []
            if new_times:
                quiet = Deadline(quiet_s)
            elif quiet.has_passed():
                return missing
            await asyncio.sleep(POLL_INTERVAL_S)

    async def command_stats(self) -> dict[str, int]:
        """Return Redis's counts of executed commands by name, including those within scripts."""
        info: Mapping[str, Mapping[str, int]] = await self.redis.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): int(fields["calls"]) for name, fields in info.items()
        }


def _entered(part: Part | None) -> Part:
    if part is None:
        raise RuntimeError("the testbed was not entered")
    return part


@asynccontextmanager
async def open_testbed(
    settings: Mapping[str, object], *, parent: Path | None = None, configuration: Path | None = None
) -> AsyncIterator[BenchmarkTestbed]:
    """Run a whole archiver, not yet ENABLED, for the time of a block; then end all its processes.

    Parameters
    ----------
    settings
        Keys of the site file.
    parent
        Parent of the run's folder.
    configuration
        File of supervisord; the repository's own if None.
    """
    testbed = BenchmarkTestbed(settings, parent)
    if configuration is not None:
        testbed.rig.supervisor = Supervisor(testbed.rig.env, testbed.rig.folder.logs, configuration)
    try:
        async with AsyncExitStack() as stack:
            await testbed.open(stack)
            yield testbed
    except Exception as error:
        error.add_note(f"logs: {testbed.rig.folder.logs}")
        raise
    except BaseException:  # interrupted: the logs are not needed
        testbed.rig.folder.remove()
        raise
    testbed.rig.folder.remove()
