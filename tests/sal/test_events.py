"""Camera and header events and published statuses over real DDS, with restarts of the CSC."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from lsst.ts import salobj
from structlog.testing import capture_logs

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.domain.exposure import EventKind
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.session import new_session_id
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.session import read_session
from ccarchiver_sal import saved_state
from ccarchiver_sim.pace import scaled
from tests.core.redis_helpers import (
    eventually,
    looking_into,
    messages_in,
    read_dead_letters,
    site,
)
from tests.sal.csc_harness import (
    csc_at_work,
    end_readout,
    header_ready,
    limit,
    sender,
    start_integration,
)
from tests.sal.fake_workers import FakeWorkers, fake_workers_at_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_sim.testbed.brokers import PrivateRedis

pytestmark = pytest.mark.processes

RESUME_WINDOW_S = 60.0
"""The default. A CSC that was stopped for longer starts in STANDBY."""


async def accepted(workers: FakeWorkers, count: int) -> list[tuple[str, str]]:
    async def passed() -> list[tuple[str, str]] | None:
        if await workers.redis.xlen(Worker.BRIDGE.mailbox) < count:
            return None  # reading thousands of messages again and again would slow down the writers
        found = [(str(message.event.kind), message.obsid) for message in await workers.exposures()]
        return found if len(found) >= count else None

    return await eventually(passed, f"{count} events in the bridge's mailbox")


async def skipped(workers: FakeWorkers, image: str) -> None:
    async def known() -> bool:
        return image in await workers.images()

    await eventually(known, f"{image} in the ledger")


async def test_events_are_accepted_only_in_enabled_and_bursts_lose_none(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with (
        sender("CCCamera") as camera,
        sender("CCHeaderService") as headers,
        fake_workers_at_work(settings) as workers,
        csc_at_work(settings) as harness,
    ):
        await harness.to("start")
        start_integration(camera, "in_DISABLED")
        await skipped(workers, "in_DISABLED")
        assert await workers.exposures() == []

        await harness.to("enable")
        start_integration(camera, "i")
        await accepted(workers, 1)
        end_readout(camera, "i")
        await accepted(workers, 2)
        header_ready(headers, "i")
        assert await accepted(workers, 3) == [
            ("startIntegration", "i"),
            ("endReadout", "i"),
            ("largeFileObjectAvailable", "i"),
        ]

        for burst, size in (("small", 200), ("large", 2000)):
            before = len(await workers.exposures())
            names = [f"{burst}_{number}" for number in range(size)]
            for name in names:
                end_readout(camera, name)
            found = await accepted(workers, before + size)
            assert [image for _, image in found[before:]] == names


def status(number: int, **changes: object) -> FileStatus:
    fields: dict[str, object] = {
        "topic": StatusTopic.IN_OODS,
        "camera": "COMCAM",
        "archiver": "CCArchiver",
        "obsid": "i",
        "raft": "",
        "sensor": "",
        "filename": f"{number}.fits",
        "status_code": 0,
        "description": "ok",
    }
    return FileStatus.model_validate(fields | changes)


async def test_each_status_is_one_event_on_sal(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        nine = [status(number) for number in range(9)]
        long = status(
            9, raft="123456789", sensor="S0123456789", description="é" * 1000, status_code=5612
        )
        await workers.send(*nine, *nine, long)
        await workers.send(status(1, topic=StatusTopic.RETRIEVAL, raft="22", sensor="S00"))

        events = [
            await harness.remote.evt_imageInOODS.next(flush=False, timeout=limit())
            for _ in range(10)
        ]
        retrieval = await harness.remote.evt_imageRetrievalForArchiving.next(
            flush=False, timeout=limit()
        )

        assert {(event.raft, event.sensor, event.statusCode) for event in events[:9]} == {
            ("undef", "undef", 0)
        }
        last = events[9]
        replaced = "raft=123456789, sensor=S0123456789: "
        assert (last.raft, last.sensor) == ("undef", "undef")
        assert (last.statusCode, last.description) == (
            5612,
            f"{replaced}{'é' * (256 - len(replaced) - 3)}...",
        )
        assert (retrieval.camera, retrieval.obsid, retrieval.raft, retrieval.sensor) == (
            "COMCAM",
            "i",
            "22",
            "S00",
        )
        assert harness.remote.evt_imageInOODS.get_oldest() is None

        async def mailbox_is_empty() -> bool:
            return await messages_in(workers.redis, Worker.SAL) == []

        await eventually(mailbox_is_empty, "the mailbox to be empty")


async def test_raft_that_does_not_fit_its_field_is_undef_and_logged_with_both_values(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    with capture_logs() as lines:
        async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
            await workers.send(status(1, raft="R22S11", sensor="S11", obsid="i→j"))
            event = await harness.remote.evt_imageInOODS.next(flush=False, timeout=limit())

    assert (event.raft, event.sensor, event.obsid) == ("undef", "S11", "undef")
    assert event.description == r"obsid=i\u2192j, raft=R22S11: ok"
    assert [
        (line["log_level"], line["field"], line["value"], line["published"])
        for line in lines
        if line["event"] == "event.value_replaced"
    ] == [("warning", "obsid", "i→j", "undef"), ("warning", "raft", "R22S11", "undef")]


async def test_second_exposure_of_an_image_name_is_refused_with_a_critical_message(
    fresh_redis: PrivateRedis,
) -> None:
    first_at, again_at = 1795000000.0, 1795003600.0
    settings = site(fresh_redis.port)
    async with (
        sender("CCCamera") as camera,
        sender("CCHeaderService") as headers,
        fake_workers_at_work(settings) as workers,
    ):
        async with csc_at_work(settings) as harness:
            await harness.to("start", "enable")
            start_integration(camera, "i", first_at)
            end_readout(camera, "i", first_at)
            await accepted(workers, 2)
            header_ready(headers, "i")
            await accepted(workers, 3)
            start_integration(camera, "i", first_at)  # the same exposure: no refusal
            start_integration(camera, "i", again_at)
            message = await harness.remote.evt_logMessage.next(flush=False, timeout=limit())
            while "used again" not in message.message:
                message = await harness.remote.evt_logMessage.next(flush=False, timeout=limit())
            assert message.level == logging.CRITICAL
        end_readout(camera, "i", again_at)  # while the CSC is down
        async with csc_at_work(settings, resumed=True):
            header_ready(headers, "i")

            async def all_refused() -> bool:
                record = await ImageLedger(workers.redis).read("i")
                assert record is not None
                return [set(refused.events) for refused in record.refused] == [set(EventKind)]

            await eventually(all_refused, "the refused exposure in the record")
        assert len(await accepted(workers, 3)) == 3
        assert len(await read_dead_letters(workers.redis)) == 3


async def test_restart_in_the_resume_window_resumes_state_session_and_missed_events(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, RESUME_WINDOW=scaled(RESUME_WINDOW_S))
    async with sender("CCCamera") as camera, fake_workers_at_work(settings) as workers:
        async with csc_at_work(settings) as harness:
            await harness.to("start", "enable")
            start_integration(camera, "a")
            await accepted(workers, 1)
            before = await read_session(workers.redis)
        end_readout(camera, "a")
        start_integration(camera, "b")

        async with csc_at_work(settings, resumed=True) as harness:
            assert harness.csc.summary_state == salobj.State.ENABLED
            state = await harness.remote.evt_summaryState.aget(timeout=limit())
            assert state.summaryState == salobj.State.ENABLED
            found = await accepted(workers, 3)
            end_readout(camera, "b")
            found = await accepted(workers, 4)

            assert sorted(found) == sorted(
                [
                    ("startIntegration", "a"),
                    ("endReadout", "a"),
                    ("startIntegration", "b"),
                    ("endReadout", "b"),
                ]
            )
            assert await read_session(workers.redis) == before
            await harness.to("disable", "standby")
            assert not (await read_session(workers.redis)).is_active


@pytest.mark.parametrize("how", ["too late", "its session has ended", "after exitControl"])
async def test_restart_that_cannot_resume_begins_in_standby_without_a_session(
    fresh_redis: PrivateRedis, how: str
) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers:
        async with csc_at_work(settings) as harness:
            await harness.to("start", "enable")
            if how == "after exitControl":
                await harness.to("disable", "standby", "exitControl")
        if how == "too late":
            past = clock.now().uptime - settings.resume_window - 1
            await workers.redis.hset(keys.CSC, "alive_uptime", past)
        elif how == "its session has ended":
            await workers.redis.hset(keys.SESSION, "is_active", "0")

        async with csc_at_work(settings, resumed=True) as harness:
            assert harness.csc.summary_state == salobj.State.STANDBY

            async def ended() -> bool:
                return not (await read_session(workers.redis)).is_active

            await eventually(ended, "the session's end")
            assert (
                not await workers.redis.exists("ccarchiver_association")
                or how == "its session has ended"
            )


@pytest.fixture
def program(
    tmp_path: Path, fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Program]:
    window = scaled(RESUME_WINDOW_S)
    root = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": fresh_redis.port, "RESUME_WINDOW": window}
    (tmp_path / "ccarchiver_config.yaml").write_text(
        yaml.safe_dump({"ROOT": root}), encoding="utf-8"
    )
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("IIP_LOG_DIR", str(tmp_path / "logs"))
    running = Program()
    yield running
    running.kill()


class Program:
    """``run_ccarchiver_sal`` as a process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        path = Path(sys.executable).parent / "run_ccarchiver_sal"
        self._process = subprocess.Popen([path, *options], stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


async def test_program_resumes_after_a_kill_unless_no_resume_is_given(
    fresh_redis: PrivateRedis, program: Program
) -> None:
    settings = site(fresh_redis.port)
    async with (
        fake_workers_at_work(settings) as workers,
        looking_into(settings) as redis,
        salobj.Domain() as domain,
    ):
        await redis.hset(keys.CSC, "state", int(salobj.State.ENABLED))
        await saved_state.write_alive(redis)
        await redis.hset(
            keys.SESSION, mapping={"id": new_session_id(), "is_active": "1", "pairing": "paired"}
        )
        for options, expected in (
            ((), salobj.State.ENABLED),
            (("--no-resume",), salobj.State.STANDBY),
        ):
            async with salobj.Remote(domain, "CCArchiver") as remote:
                remote.evt_summaryState.flush()
                program.start(*options)
                shown = await remote.evt_summaryState.next(flush=False, timeout=limit())
                assert shown.summaryState == expected

                async def saved(state: salobj.State = expected) -> bool:
                    return await redis.hget(keys.CSC, "state") == str(int(state)).encode()

                await eventually(saved, "the state in Redis")
            program.kill()
        assert not (await read_session(workers.redis)).is_active
