"""The CSC as operators and scripts see it through SAL."""

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
from ccarchiver_core.domain.record_types import MAX_UNIX_TIME
from ccarchiver_core.domain.worker_messages import SessionFailed, SessionStarted
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.store import state_history
from ccarchiver_core.store.session import read_session
from ccarchiver_sal.csc import CCArchiverCsc
from ccarchiver_sim import pace
from ccarchiver_sim.pace import scaled
from tests.core.redis_helpers import LIMIT_S, counter, eventually, looking_into, site
from tests.sal.csc_harness import csc_at_work, limit
from tests.sal.fake_workers import FakeWorkers, fake_workers_at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.testbed.brokers import PrivateRedis

pytestmark = pytest.mark.processes


class TestStandard(salobj.BaseCscTestCase, unittest.IsolatedAsyncioTestCase):  # type: ignore[misc]  # no types
    """The tests of salobj for every CSC."""

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
            async with fake_workers_at_work(self.settings) as workers:
                await self.context.lease.acquire()
                async with self.make_csc(initial_state=salobj.State.STANDBY, timeout=limit()):
                    yield workers
        finally:
            await self.context.close()

    async def test_the_standard_state_transitions(self) -> None:
        async with self.at_work():
            await self.check_standard_state_transitions(enabled_commands=(), timeout=limit())

    async def test_csc_publishes_its_versions_heartbeat_mode_and_log_messages(self) -> None:
        async with self.at_work():
            await self.assert_next_sample(
                self.remote.evt_softwareVersions,
                cscVersion=__version__,
                subsystemVersions="",
                timeout=limit(),
            )
            await self.assert_next_sample(self.remote.evt_heartbeat, timeout=limit())
            await self.assert_next_sample(self.remote.evt_simulationMode, mode=0, timeout=limit())
            await self.assert_next_sample(self.remote.evt_logLevel, timeout=limit())
            await self.remote.cmd_setLogLevel.set_start(level=10, timeout=limit())
            self.csc.log.warning("a log message")
            message = await self.remote.evt_logMessage.next(flush=False, timeout=limit())
            while "a log message" not in message.message:
                message = await self.remote.evt_logMessage.next(flush=False, timeout=limit())
            await self.remote.cmd_start.start(timeout=limit())
            while f"settings {__version__}:" not in message.message:
                message = await self.remote.evt_logMessage.next(flush=False, timeout=limit())


@pytest.mark.parametrize(
    "program", ["run_ccarchiver_sal", "run_ccarchiver_bridge", "run_ccarchiver_health"]
)
def test_programs_print_their_version(program: str) -> None:
    path = Path(sys.executable).parent / program

    done = pace.run([path, "--version"], LIMIT_S, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == __version__


async def test_start_acks_its_progress_and_ends_in_disabled_with_a_session(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        workers.silent = True
        progress = await harness.remote.cmd_start.start(timeout=limit(), wait_done=False)
        while progress.ack == salobj.SalRetCode.CMD_ACK:
            progress = await harness.remote.cmd_start.next_ackcmd(
                progress, timeout=limit(), wait_done=False
            )
        assert progress.ack == salobj.SalRetCode.CMD_INPROGRESS
        assert harness.csc.summary_state == salobj.State.STANDBY

        async def active_session() -> str:
            session = await read_session(workers.redis)
            return session.id if session.is_active else ""

        session_id = await eventually(active_session, "a session")
        await workers.send(SessionStarted(session_id=session_id))

        await harness.reaches(salobj.State.DISABLED)


async def test_start_of_a_failed_session_ends_in_fault_with_code_and_report(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        workers.fail_sessions_with = (5701, "no living Forwarder")

        with salobj.assertRaisesAckError(
            ack=salobj.SalRetCode.CMD_FAILED, result_contains="no living Forwarder"
        ):
            await harness.to("start")

        assert harness.csc.summary_state == salobj.State.FAULT
        error = await harness.remote.evt_errorCode.next(flush=False, timeout=limit())
        while not error.errorCode:
            error = await harness.remote.evt_errorCode.next(flush=False, timeout=limit())
        assert (error.errorCode, error.errorReport) == (5701, "no living Forwarder")

        async def ended() -> bool:
            return not (await read_session(workers.redis)).is_active

        await eventually(ended, "the session's end")
        assert await counter(workers.redis, "faults:5701") == 1

        async def is_recorded() -> bool:
            changes = await state_history.read(workers.redis, 0.0, MAX_UNIX_TIME)
            return [(one.state, one.error_code) for one in changes[-1:]] == [("FAULT", 5701)]

        await eventually(is_recorded, "the FAULT in the history of states")
        await harness.to("resetFromFault")
        assert harness.csc.summary_state == salobj.State.STANDBY
        workers.fail_sessions_with = None
        await harness.to("start", "enable")
        assert harness.csc.summary_state == salobj.State.ENABLED
        assert await counter(workers.redis, "sessions_begun") == 2


async def test_fault_with_a_text_that_sal_cannot_carry_is_published_and_acknowledged(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        workers.fail_sessions_with = (5752, "Ελλάς" + "x" * 300)

        with salobj.assertRaisesAckError(
            ack=salobj.SalRetCode.CMD_FAILED, result_contains="?????xxx"
        ):
            await harness.to("start")

        error = await harness.remote.evt_errorCode.next(flush=False, timeout=limit())
        while not error.errorCode:
            error = await harness.remote.evt_errorCode.next(flush=False, timeout=limit())
        assert (error.errorCode, "?????xxx" in error.errorReport) == (5752, True)


@pytest.mark.parametrize(
    ("command", "expected"),
    [("standby", salobj.State.STANDBY), ("exitControl", salobj.State.OFFLINE)],
)
async def test_start_is_cancelled_by_a_command_that_ends_the_session(
    fresh_redis: PrivateRedis, command: str, expected: salobj.State
) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        workers.starts_sessions = False
        starting = asyncio.create_task(harness.to("start"))

        async def is_active() -> bool:
            return (await read_session(workers.redis)).is_active

        await eventually(is_active, "the session of the start command")

        await harness.to(command)

        assert harness.csc.summary_state == expected
        session = await read_session(workers.redis)
        assert not session.is_active, "the session has ended when the command completes"
        with salobj.assertRaisesAckError(
            ack=salobj.SalRetCode.CMD_FAILED, result_contains=f"start was cancelled by {command}"
        ):
            await starting
        assert (await counter(workers.redis, "faults:5701")) == 0
        if expected is salobj.State.STANDBY:
            workers.starts_sessions = True
            await harness.to("start")
            assert harness.csc.summary_state == salobj.State.DISABLED
            assert (await read_session(workers.redis)).id != session.id


async def test_start_without_redis_is_cancelled_by_standby(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccarchiver_sal.csc.END_LIMIT", scaled(0.5))
    settings = site(fresh_redis.port, CONNECT_TIMEOUT=1000)
    async with csc_at_work(settings) as harness, looking_into(settings) as redis:
        await redis.client_pause(int(1000 * scaled(2)))
        starting = asyncio.create_task(harness.to("start"))
        await eventually(harness.is_starting, "the start command")

        await harness.to("standby")

        with salobj.assertRaisesAckError(result_contains="start was cancelled by standby"):
            await starting
        assert harness.csc.summary_state == salobj.State.STANDBY
        await retry_until_available(redis.ping)  # CLIENT UNPAUSE would wait as well


async def test_start_is_answered_when_the_csc_closes(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        workers.starts_sessions = False
        async with salobj.Domain() as domain, salobj.Remote(domain, "CCArchiver") as remote:
            await remote.start_task
            starting = asyncio.create_task(remote.cmd_start.start(timeout=limit()))
            await eventually(harness.is_starting, "the start command")

            await harness.csc.close()

            with salobj.assertRaisesAckError(
                ack=salobj.SalRetCode.CMD_FAILED, result_contains="the end of this process"
            ):
                await starting


async def test_reset_from_fault_fails_outside_fault(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings), csc_at_work(settings) as harness:
        for command in ("start", "enable", None):
            state = harness.csc.summary_state
            with salobj.assertRaisesAckError(ack=salobj.SalRetCode.CMD_FAILED):
                await harness.to("resetFromFault")
            assert harness.csc.summary_state == state
            if command is not None:
                await harness.to(command)


async def test_failure_of_the_current_session_only_is_a_fault_of_the_csc(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        await harness.to("start", "enable")
        session = await read_session(workers.redis)
        await workers.send(SessionFailed(session_id="an older session", code=5753, report="old"))
        await workers.send(
            SessionFailed(session_id=session.id, code=5755, report="the Forwarder is gone")
        )

        await harness.reaches(salobj.State.FAULT)

        codes = list[int]()
        while not codes or codes[-1] != 5755:
            codes.append(
                (await harness.remote.evt_errorCode.next(flush=False, timeout=limit())).errorCode
            )
        assert 5753 not in codes

        async def counted() -> bool:
            return await counter(workers.redis, "faults:5755") == 1

        await eventually(counted, "the fault in the counters")
        assert await counter(workers.redis, "faults:5753") == 0


@pytest.mark.parametrize(
    "commands", [("standby",), ("standby", "exitControl")], ids=lambda commands: commands[-1]
)
async def test_end_of_session_deletes_the_association_key(
    fresh_redis: PrivateRedis, commands: tuple[str, ...]
) -> None:
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        await harness.to("start", "enable", "disable")
        assert await workers.redis.get("ccarchiver_association") == b"f99"

        await harness.to(*commands)

        assert not await workers.redis.exists("ccarchiver_association")
        assert not (await read_session(workers.redis)).is_active


async def test_standby_command_completes_when_the_other_workers_are_silent(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccarchiver_sal.csc.END_LIMIT", scaled(0.5))
    settings = site(fresh_redis.port)
    async with fake_workers_at_work(settings) as workers, csc_at_work(settings) as harness:
        await harness.to("start")
        workers.silent = True

        await harness.to("standby")

        assert harness.csc.summary_state == salobj.State.STANDBY
        assert not await workers.redis.exists("ccarchiver_association")


async def test_worker_that_stays_unavailable_is_a_fault(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, WORKER_OUTAGE_LIMIT=scaled(0.5))
    async with csc_at_work(settings) as harness:
        async with fake_workers_at_work(settings):
            await harness.to("start", "enable")
        async with looking_into(settings) as redis:
            await redis.delete(Worker.BRIDGE.alive, Worker.HEALTH.alive)

        await harness.reaches(salobj.State.FAULT)


async def test_read_only_redis_is_logged_as_read_only_and_ends_in_fault(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, BROKER_OUTAGE_LIMIT=scaled(4))
    async with csc_at_work(settings) as harness, looking_into(settings) as redis:
        async with fake_workers_at_work(settings):
            await harness.to("start", "enable")
        await redis.config_set("maxmemory", 1)
        try:
            message = await harness.remote.evt_logMessage.next(flush=False, timeout=limit())
            while "rejects writes" not in message.message:
                message = await harness.remote.evt_logMessage.next(flush=False, timeout=limit())
            assert "maxmemory" in message.message
            assert "images are still accepted" in message.message
            await harness.reaches(salobj.State.FAULT)
            assert harness.csc.error_report[0] == 5701
            assert f"127.0.0.1:{fresh_redis.port}" in harness.csc.error_report[1]
            assert "rejects writes" in harness.csc.error_report[1]
        finally:
            await redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("name", [Worker.BRIDGE, Worker.HEALTH])
async def test_worker_with_an_outdated_heartbeat_is_unavailable(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch, name: Worker
) -> None:
    monkeypatch.setattr("ccarchiver_sal.dependency_monitor.TTL", scaled(0.5))
    settings = site(fresh_redis.port, WORKER_OUTAGE_LIMIT=scaled(0.5))
    async with csc_at_work(settings) as harness:
        async with fake_workers_at_work(settings):
            await harness.to("start", "enable")
        async with looking_into(settings) as redis:
            other = Worker.HEALTH if name is Worker.BRIDGE else Worker.BRIDGE
            # like a key that expires in an hour, because the clock was set back
            await redis.persist(name.alive)

            async def faulted() -> bool:
                await FakeWorkers(redis).write_heartbeat(other)
                return bool(harness.csc.summary_state == salobj.State.FAULT)

            await eventually(faulted, "FAULT")
            assert f"ccarchiver:{name}" in harness.csc.error_report[1]
