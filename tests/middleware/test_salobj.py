"""ts-salobj on this middleware, between processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dds
import pytest
from lsst.ts import salobj

from ccarchiver_sim.pace import scaled, within
from tests.middleware.process import ends_by_itself, read_line, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

LIMIT_S = 30.0
"""Limit of every wait; it takes effect only if something is broken."""
DEEP = 10_000
LIVE = 10
KEPT = 100
"""Samples that a writer keeps for late readers."""


@dataclass
class Camera:
    """A program that writes numbered events."""

    process: subprocess.Popen[str]
    written: int = 0
    """Number of events written so far; the events are numbered from 0."""

    def put(self, count: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        self.written = int(read_line(self.process))


@dataclass
class Programs:
    camera: Camera
    csc: subprocess.Popen[str]


@pytest.fixture(scope="module")
def programs(bus_of_the_module: None) -> Iterator[Programs]:
    """Start programs for all tests of this file; one test ends the CSC."""
    del bus_of_the_module
    camera, csc = running = [start("camera.py"), start("csc.py")]
    for process in running:
        assert read_line(process) == "started"
    yield Programs(Camera(camera), csc)
    for process in running:
        process.kill()
        process.communicate()


def limit() -> float:
    """Return a timeout for salobj."""
    return scaled(LIMIT_S)


async def state(remote: Any) -> int:  # noqa: ANN401 (salobj's topics have no types)
    return int((await remote.evt_summaryState.next(flush=False, timeout=limit())).summaryState)


@pytest.mark.usefixtures("programs")
async def test_commands_right_after_a_start_are_never_lost() -> None:
    for level in range(10, 16):
        async with (
            salobj.Domain() as domain,
            salobj.Remote(domain, "CCArchiver", include=["logLevel"]) as remote,
        ):
            await remote.start_task
            await remote.cmd_setLogLevel.set_start(level=level, timeout=limit())


@pytest.mark.parametrize("max_history", [0, 1, KEPT])
async def test_remote_gets_the_configured_history(programs: Programs, max_history: int) -> None:
    camera = programs.camera
    await asyncio.to_thread(camera.put, KEPT + 20)
    written = camera.written
    async with (
        salobj.Domain() as domain,
        salobj.Remote(
            domain, "CCCamera", include=["endReadout"], evt_max_history=max_history
        ) as remote,
    ):
        found: list[int] = []
        complete = asyncio.Event()

        async def callback(data: Any) -> None:  # noqa: ANN401 (salobj's topics have no types)
            found.append(data.imageNumber)
            if len(found) == LIVE:
                complete.set()

        history = [remote.evt_endReadout.get_oldest() for _ in range(KEPT)]
        assert [data.imageNumber for data in history if data is not None] == list(
            range(written - max_history, written)
        )
        remote.evt_endReadout.callback = callback
        await asyncio.to_thread(camera.put, LIVE)
        async with within(LIMIT_S):
            await complete.wait()
        assert found == list(range(written, written + LIVE))


async def test_deeper_reader_and_queue_lose_no_sample_of_a_burst(programs: Programs) -> None:
    """Use the depths of the archiver, with which a burst fits while it cannot read."""
    camera, first = programs.camera, programs.camera.written
    async with salobj.Domain() as domain:
        depth = dds.HistoryQosPolicy(dds.DDSHistoryKind.KEEP_LAST, DEEP)
        domain.event_qos_set.reader_qos.set_policies([depth])
        salinfo = salobj.SalInfo(domain, "CCCamera")
        topic = salobj.topics.ReadTopic(
            salinfo=salinfo,
            name="endReadout",
            sal_prefix="logevent_",
            max_history=0,
            queue_len=DEEP,
        )
        assert topic.dds_queue_length_checker.queue_len == DEEP
        await salinfo.start()
        for _ in range(10):
            await asyncio.to_thread(camera.put, 90)
        async with within(LIMIT_S):
            found = [(await topic.next(flush=False)).imageNumber for _ in range(900)]
        assert found == list(range(first, first + 900))


async def test_put_with_a_value_that_does_not_fit_raises_value_error() -> None:
    async with salobj.Controller("CCArchiver", do_callbacks=False) as controller:
        event = controller.evt_imageInOODS
        for field, value in (
            ("raft", "123456"),
            ("obsid", "€"),
            ("statusCode", 1 << 31),
            ("statusCode", "1"),
        ):
            with pytest.raises(ValueError, match=r"."):
                event.set_put(**{field: value}, force_output=True)
            event.set(**{field: "" if isinstance(getattr(event.DataType(), field), str) else 0})
        event.set_put(raft="12345", obsid="ÿ", statusCode=-1, force_output=True)


async def test_csc_goes_through_its_states_and_exits(programs: Programs) -> None:
    async with salobj.Domain() as domain, salobj.Remote(domain, "CCArchiver") as remote:
        assert await state(remote) == salobj.State.STANDBY
        for command, expected in (
            ("start", salobj.State.DISABLED),
            ("enable", salobj.State.ENABLED),
            ("disable", salobj.State.DISABLED),
            ("standby", salobj.State.STANDBY),
        ):
            await getattr(remote, f"cmd_{command}").start(timeout=limit())
            assert await state(remote) == expected
        with pytest.raises(salobj.AckError, match="not allowed in state"):
            await remote.cmd_enable.start(timeout=limit())
        versions = await remote.evt_softwareVersions.aget(timeout=limit())
        assert versions.openSpliceVersion == dds.__version__
        await remote.cmd_exitControl.start(timeout=limit())
    assert await asyncio.to_thread(ends_by_itself, programs.csc) == 0
