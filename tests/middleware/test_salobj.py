"""ts-salobj itself on this middleware, between processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import dds
import pytest
from lsst.ts import salobj

from tests.middleware.process import read_line, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

TIMEOUT = 20
DEEP = 10_000
LIVE = 10


@pytest.fixture
def program() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a program and wait until it has started."""
    running: list[subprocess.Popen[str]] = []

    def run(name: str) -> subprocess.Popen[str]:
        process = start(name)
        running.append(process)
        assert read_line(process) == "started"
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def put(camera: subprocess.Popen[str], count: int) -> None:
    assert camera.stdin is not None
    camera.stdin.write(f"{count}\n")
    camera.stdin.flush()
    read_line(camera)


async def state(remote: Any) -> int:  # noqa: ANN401 (salobj's topics have no types)
    return int((await remote.evt_summaryState.next(flush=False, timeout=TIMEOUT)).summaryState)


async def test_a_csc_through_its_states(program: Callable[[str], subprocess.Popen[str]]) -> None:
    csc = program("csc.py")
    async with salobj.Domain() as domain, salobj.Remote(domain, "CCArchiver") as remote:
        assert await state(remote) == salobj.State.STANDBY
        for command, expected in (
            ("start", salobj.State.DISABLED),
            ("enable", salobj.State.ENABLED),
            ("disable", salobj.State.DISABLED),
            ("standby", salobj.State.STANDBY),
        ):
            await getattr(remote, f"cmd_{command}").start(timeout=TIMEOUT)
            assert await state(remote) == expected
        with pytest.raises(salobj.AckError, match="not allowed in state"):
            await remote.cmd_enable.start(timeout=TIMEOUT)
        versions = await remote.evt_softwareVersions.aget(timeout=TIMEOUT)
        assert versions.openSpliceVersion == dds.__version__
        await remote.cmd_exitControl.start(timeout=TIMEOUT)
    assert await asyncio.to_thread(csc.wait, TIMEOUT) == 0


async def test_commands_right_after_a_start_are_never_lost(program: Callable[[str], subprocess.Popen[str]]) -> None:
    program("csc.py")
    for level in range(10, 16):
        async with salobj.Domain() as domain, salobj.Remote(domain, "CCArchiver", include=["logLevel"]) as remote:
            await remote.start_task
            await remote.cmd_setLogLevel.set_start(level=level, timeout=5)


@pytest.mark.parametrize(("max_history", "expected"), [(0, []), (1, [119]), (100, list(range(20, 120)))])
async def test_history(program: Callable[[str], subprocess.Popen[str]], max_history: int, expected: list[int]) -> None:
    camera = program("camera.py")
    await asyncio.to_thread(put, camera, 120)
    async with (
        salobj.Domain() as domain,
        salobj.Remote(domain, "CCCamera", include=["endReadout"], evt_max_history=max_history) as remote,
    ):
        found: list[int] = []
        complete = asyncio.Event()

        async def callback(data: Any) -> None:  # noqa: ANN401 (salobj's topics have no types)
            found.append(data.imageNumber)
            if len(found) == LIVE:
                complete.set()

        history = [remote.evt_endReadout.get_oldest() for _ in range(100)]
        assert [data.imageNumber for data in history if data is not None] == expected
        remote.evt_endReadout.callback = callback
        await asyncio.to_thread(put, camera, LIVE)
        async with asyncio.timeout(TIMEOUT):
            await complete.wait()
        assert found == list(range(120, 120 + LIVE))


async def test_a_deeper_reader_and_queue(program: Callable[[str], subprocess.Popen[str]]) -> None:
    """What the archiver does to get through a burst while it cannot read."""
    camera = program("camera.py")
    async with salobj.Domain() as domain:
        depth = dds.HistoryQosPolicy(dds.DDSHistoryKind.KEEP_LAST, DEEP)
        domain.event_qos_set.reader_qos.set_policies([depth])
        salinfo = salobj.SalInfo(domain, "CCCamera")
        topic = salobj.topics.ReadTopic(
            salinfo=salinfo, name="endReadout", sal_prefix="logevent_", max_history=0, queue_len=DEEP
        )
        assert topic.dds_queue_length_checker.queue_len == DEEP
        await salinfo.start()
        for _ in range(10):
            await asyncio.to_thread(put, camera, 90)
        async with asyncio.timeout(TIMEOUT):
            found = [(await topic.next(flush=False)).imageNumber for _ in range(900)]
        assert found == list(range(900))


async def test_values_that_do_not_fit() -> None:
    async with salobj.Controller("CCArchiver", do_callbacks=False) as controller:
        event = controller.evt_imageInOODS
        for field, value in (("raft", "123456"), ("obsid", "€"), ("statusCode", 1 << 31), ("statusCode", "1")):
            with pytest.raises(ValueError, match=r"."):
                event.set_put(**{field: value}, force_output=True)
            event.set(**{field: "" if isinstance(getattr(event.DataType(), field), str) else 0})
        event.set_put(raft="12345", obsid="ÿ", statusCode=-1, force_output=True)
