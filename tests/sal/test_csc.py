"""The CSC as operators and scripts see it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import unittest
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_core import __version__
from ccarchiver_core.domain.worker_messages import SessionFailed, SessionStarted
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.store.session import read_session
from ccarchiver_sal.csc import CCArchiverCsc
from ccarchiver_sim import pace
from ccarchiver_sim.pace import scaled
from tests.core.redis_helpers import LIMIT_S, counter, eventually, looking_into, site
from tests.sal.csc_harness import csc_at_work, limit
from tests.sal.fake_workers import FakeWorkers, crew_at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.testbed.brokers import PrivateRedis

pytestmark = pytest.mark.processes


class TestStandard(salobj.BaseCscTestCase, unittest.IsolatedAsyncioTestCase):  # type: ignore[misc]  # no types
    """What salobj asks of every CSC."""

    @pytest.fixture(autouse=True)
    def _redis(self, fresh_redis: PrivateRedis) -> None:
        self.settings = site(fresh_redis.port)

    def basic_make_csc(self, **_options: object) -> CCArchiverCsc:
        return CCArchiverCsc(self.context)

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[FakeWorkers]:
        asyncio.get_running_loop().set_debug(False)
        self.context = WorkerContext(Worker.SAL, self.settings)
        try:
            async with crew_at_work(self.settings) as workers:
                await self.context.lease.acquire()
                async with self.make_csc(initial_state=salobj.State.STANDBY, timeout=limit()):
                    yield workers
        finally:
            await self.context.close()

    async def test_the_standard_state_transitions(self) -> None:
        async with self.at_work():
            await self.check_standard_state_transitions(enabled_commands=(), timeout=limit())

    async def test_what_it_says_of_itself(self) -> None:
        async with self.at_work():
            await self.assert_next_sample(
                self.remote.evt_softwareVersions, cscVersion=__version__, subsystemVersions="", timeout=limit()
            )
            await self.assert_next_sample(self.remote.evt_heartbeat, timeout=limit())
            await self.assert_next_sample(
                self.remote.evt_settingVersions, recommendedSettingsLabels="", timeout=limit()
            )
            await self.assert_next_sample(self.remote.evt_simulationMode, mode=0, timeout=limit())
            await self.assert_next_sample(self.remote.evt_logLevel, timeout=limit())
            await self.remote.cmd_setLogLevel.set_start(level=10, timeout=limit())
            self.csc.log.warning("from the log")
            message = await self.remote.evt_logMessage.next(flush=False, timeout=limit())
            while "from the log" not in message.message:
                message = await self.remote.evt_logMessage.next(flush=False, timeout=limit())
            await self.remote.cmd_start.set_start(settingsToApply="", timeout=limit())
            applied = await self.remote.evt_settingsApplied.next(flush=False, timeout=limit())
            assert applied.settingsVersion.startswith(f"{__version__}:")


@pytest.mark.parametrize("program", ["run_ccarchiver_sal", "run_ccarchiver_bridge", "run_ccarchiver_health"])
def test_the_programs_tell_their_version(program: str) -> None:
    path = Path(sys.executable).parent / program

    done = pace.run([path, "--version"], LIMIT_S, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == __version__


async def test_start_tells_its_progress_and_ends_in_disabled_with_a_session(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with crew_at_work(settings) as workers, csc_at_work(settings) as stand:
        workers.silent = True
        progress = await stand.remote.cmd_start.start(timeout=limit(), wait_done=False)
        while progress.ack == salobj.SalRetCode.CMD_ACK:
            progress = await stand.remote.cmd_start.next_ackcmd(progress, timeout=limit(), wait_done=False)
        assert progress.ack == salobj.SalRetCode.CMD_INPROGRESS
        assert stand.csc.summary_state == salobj.State.STANDBY

        async def wanted() -> str:
            session = await read_session(workers.redis)
            return session.id if session.is_active else ""

        session_id = await eventually(wanted, "a session")
        await workers.tell(SessionStarted(session_id=session_id))

        await stand.reaches(salobj.State.DISABLED)


async def test_a_start_that_is_refused_ends_in_fault_with_code_and_report(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with crew_at_work(settings) as workers, csc_at_work(settings) as stand:
        workers.refuse_with = (5701, "no living Forwarder")

        with salobj.assertRaisesAckError(ack=salobj.SalRetCode.CMD_FAILED, result_contains="no living Forwarder"):
            await stand.to("start")

        assert stand.csc.summary_state == salobj.State.FAULT
        error = await stand.remote.evt_errorCode.next(flush=False, timeout=limit())
        while not error.errorCode:
            error = await stand.remote.evt_errorCode.next(flush=False, timeout=limit())
        assert (error.errorCode, error.errorReport) == (5701, "no living Forwarder")

        async def ended() -> bool:
            return not (await read_session(workers.redis)).is_active

        await eventually(ended, "the session's end")
        assert await counter(workers.redis, "faults:5701") == 1
        await stand.to("resetFromFault")
        assert stand.csc.summary_state == salobj.State.STANDBY
        workers.refuse_with = None
        await stand.to("start", "enable")
        assert stand.csc.summary_state == salobj.State.ENABLED
        assert await counter(workers.redis, "sessions_begun") == 2


async def test_reset_from_fault_is_for_fault_only(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with crew_at_work(settings), csc_at_work(settings) as stand:
        for command in ("start", "enable", None):
            state = stand.csc.summary_state
            with salobj.assertRaisesAckError(ack=salobj.SalRetCode.CMD_FAILED):
                await stand.to("resetFromFault")
            assert stand.csc.summary_state == state
            if command is not None:
                await stand.to(command)


async def test_a_fault_of_the_session_in_force_is_a_fault_of_the_csc_and_an_old_one_is_not(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with crew_at_work(settings) as workers, csc_at_work(settings) as stand:
        await stand.to("start", "enable")
        session = await read_session(workers.redis)
        await workers.tell(SessionFailed(session_id="of long ago", code=5753, report="old"))
        await workers.tell(SessionFailed(session_id=session.id, code=5755, report="the Forwarder is gone"))

        await stand.reaches(salobj.State.FAULT)

        codes = list[int]()
        while not codes or codes[-1] != 5755:
            codes.append((await stand.remote.evt_errorCode.next(flush=False, timeout=limit())).errorCode)
        assert 5753 not in codes

        async def counted() -> bool:
            return await counter(workers.redis, "faults:5755") == 1

        await eventually(counted, "the fault in the counters")
        assert await counter(workers.redis, "faults:5753") == 0


@pytest.mark.parametrize("way", [("standby",), ("standby", "exitControl")], ids=lambda way: way[-1])
async def test_when_the_session_has_ended_the_association_key_is_gone(
    fresh_redis: PrivateRedis, way: tuple[str, ...]
) -> None:
    settings = site(fresh_redis.port)
    async with crew_at_work(settings) as workers, csc_at_work(settings) as stand:
        await stand.to("start", "enable", "disable")
        assert await workers.redis.get("ccarchiver_association") == b"f99"

        await stand.to(*way)

        assert not await workers.redis.exists("ccarchiver_association")
        assert not (await read_session(workers.redis)).is_active


async def test_standby_does_not_wait_for_ever_for_workers_that_are_away(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccarchiver_sal.csc.END_LIMIT", scaled(0.5))
    settings = site(fresh_redis.port)
    async with crew_at_work(settings) as workers, csc_at_work(settings) as stand:
        await stand.to("start")
        workers.silent = True

        await stand.to("standby")

        assert stand.csc.summary_state == salobj.State.STANDBY
        assert not await workers.redis.exists("ccarchiver_association")


async def test_a_worker_that_stays_away_is_a_fault(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, WORKER_OUTAGE_LIMIT=scaled(0.5))
    async with csc_at_work(settings) as stand:
        async with crew_at_work(settings):
            await stand.to("start", "enable")
        async with looking_into(settings) as redis:
            await redis.delete(Worker.BRIDGE.alive, Worker.HEALTH.alive)

        await stand.reaches(salobj.State.FAULT)


async def test_a_redis_that_refuses_writes_is_told_as_that_and_not_as_one_that_is_away(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, BROKER_OUTAGE_LIMIT=scaled(4))
    async with csc_at_work(settings) as stand, looking_into(settings) as redis:
        async with crew_at_work(settings):
            await stand.to("start", "enable")
        await redis.config_set("maxmemory", 1)
        try:
            message = await stand.remote.evt_logMessage.next(flush=False, timeout=limit())
            while "refuses writes" not in message.message:
                message = await stand.remote.evt_logMessage.next(flush=False, timeout=limit())
            assert "maxmemory" in message.message
            assert "images are still accepted" in message.message
            await stand.reaches(salobj.State.FAULT)
            assert stand.csc.error_report[0] == 5701
            assert f"127.0.0.1:{fresh_redis.port}" in stand.csc.error_report[1]
            assert "refuses writes" in stand.csc.error_report[1]
        finally:
            await redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("name", [Worker.BRIDGE, Worker.HEALTH])
async def test_a_worker_whose_key_outlives_it_counts_as_away(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch, name: Worker
) -> None:
    monkeypatch.setattr("ccarchiver_sal.dependency_monitor.TTL", scaled(0.5))
    settings = site(fresh_redis.port, WORKER_OUTAGE_LIMIT=scaled(0.5))
    async with csc_at_work(settings) as stand:
        async with crew_at_work(settings):
            await stand.to("start", "enable")
        async with looking_into(settings) as redis:
            other = Worker.HEALTH if name is Worker.BRIDGE else Worker.BRIDGE
            await redis.persist(name.alive)  # as one whose end is an hour away, after the clock was set back

            async def faulted() -> bool:
                await FakeWorkers(redis).show_life(other)
                return bool(stand.csc.summary_state == salobj.State.FAULT)

            await eventually(faulted, "FAULT")
            assert f"ccarchiver:{name}" in stand.csc.error_report[1]
