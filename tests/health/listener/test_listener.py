"""The event listener of supervisord.conf under a real supervisord, with programs that exit."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import xmlrpc.client
from configparser import RawConfigParser
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli import supervisord
from ccarchiver_core import keys
from ccarchiver_core.domain.supervised_process import ProcessState, SupervisedProcess
from ccarchiver_core.domain.worker_messages import ProcessExited
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.status.alarms import AlarmName, alarms_of
from ccarchiver_core.status.overview import collect
from ccarchiver_core.store.supervised_processes import read_processes
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.child_process import ChildProcess, base_environment
from tests.core.redis_helpers import eventually, looking_into, messages_in, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent.parent.parent
LISTENER = "eventlistener:event_listener"
HOST = "a-container"
"""Name of a container that shares its host with another one."""
STOP_LIMIT_S = 30.0


def configuration(folder: Path) -> Path:
    """Write a configuration with the project's listener, a program that runs and one that fails."""
    parser = RawConfigParser(strict=False)
    parser.read(ROOT / "supervisord.conf", encoding="utf-8")
    written = RawConfigParser()
    for name in ("supervisord", "unix_http_server", "rpcinterface:supervisor", LISTENER):
        written[name] = parser[name]
    written["group:ccarchiver"] = {"programs": "sal,bridge"}
    written["program:sal"] = {"command": "sleep 600", "startsecs": "0", "autorestart": "true"}
    written["program:bridge"] = {
        "command": "false",
        "startsecs": "1",
        "startretries": "0",
        "autostart": "false",
    }
    path = folder / "supervisord.conf"
    with path.open("w", encoding="utf-8") as file:
        written.write(file)
    return path


@asynccontextmanager
async def supervised(folder: Path, port: int) -> AsyncIterator[ChildProcess]:
    """Run supervisord with the listener for the duration of a block."""
    (folder / "ccarchiver_config.yaml").write_text(
        f"ROOT:\n  REDIS_HOST: 127.0.0.1\n  REDIS_PORT: {port}\n", encoding="utf-8"
    )
    programs = Path(sys.executable).parent
    env = base_environment() | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "IIP_LOG_DIR": str(folder),
        "IIP_CONFIG_DIR": str(folder),
        "CCARCHIVER_RUN_DIR": str(folder),
        "CCARCHIVER_HOST": HOST,
    }
    argv = ["supervisord", "--nodaemon", "--configuration", str(configuration(folder))]
    child = ChildProcess("supervisord", argv, env=env, log_path=folder / "out")
    child.start()
    try:
        yield child
    finally:
        child.stop(STOP_LIMIT_S)


async def state_of(redis: Redis, name: str, *states: ProcessState) -> SupervisedProcess:
    """Wait until the recorded state of a program is one of these."""

    async def known() -> SupervisedProcess | None:
        # With retries: the first use of a connection to a restarted Redis fails.
        found = {
            program.name: program
            for program in await retry_until_available(lambda: read_processes(redis))
        }
        return found[name] if name in found and found[name].state in states else None

    return await eventually(known, f"{name} to be {states}")


async def exits(redis: Redis) -> list[SupervisedProcess]:
    return [
        message.process
        for message in await messages_in(redis, Worker.HEALTH)
        if isinstance(message, ProcessExited)
    ]


def ask(verb: str, name: str) -> None:
    """Make supervisord start or stop a program, without waiting for it."""
    with supervisord.server() as proxy:
        getattr(proxy.supervisor, verb)(name, False)  # noqa: FBT003  supervisord's parameter: do not wait


async def test_supervisord_events_are_recorded_even_after_a_redis_outage(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("w")  # a socket's path must be short
    monkeypatch.setenv("CCARCHIVER_RUN_DIR", str(folder))
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        settings = site(server.port)
        async with looking_into(settings) as redis:
            here, there = (
                SupervisedProcess(
                    name="ccarchiver:gone",
                    state=ProcessState.FATAL,
                    host=host,
                    supervisord="another one",
                )
                for host in (HOST, socket.gethostname())
            )
            for process in (here, there):
                await redis.hset(
                    keys.SUPERVISED_PROCESSES, process.field, process.model_dump_json()
                )
            async with supervised(folder, server.port) as child:
                # Killed: a message with the ended process, and the record of its successor.
                first = await state_of(redis, "ccarchiver:sal", ProcessState.RUNNING)
                os.kill(first.pid, signal.SIGKILL)

                async def successor() -> SupervisedProcess | None:
                    now = await state_of(redis, "ccarchiver:sal", ProcessState.RUNNING)
                    return now if now.pid != first.pid else None

                second = await eventually(successor, "the next process")
                [ended] = await exits(redis)
                assert (ended.name, ended.state, ended.pid) == (
                    "ccarchiver:sal",
                    ProcessState.EXITED,
                    first.pid,
                )
                assert ended.has_crashed
                of_other_supervisords = [
                    it for it in await read_processes(redis) if it.name == "ccarchiver:gone"
                ]
                assert of_other_supervisords == [there], (
                    "records of an earlier supervisord of this host are removed"
                )

                # FATAL: an alarm, although neither that worker nor health has ever run.
                with contextlib.suppress(xmlrpc.client.Fault):  # if it has exited already
                    ask("startProcess", "ccarchiver:bridge")
                await state_of(redis, "ccarchiver:bridge", ProcessState.FATAL)
                shown = alarms_of(await collect(redis, settings))
                fatal = [alarm.text for alarm in shown if alarm.name == AlarmName.PROCESS_FATAL]
                assert any(f"{HOST} gave up starting ccarchiver:bridge" in text for text in fatal)
                assert "worker_unavailable" not in [
                    alarm.name for alarm in shown if "bridge" in alarm.text
                ]

                # Redis down: supervisord continues, and the events are recorded when Redis is back.
                server.stop()
                os.kill(second.pid, signal.SIGKILL)

                async def restarted() -> bool:
                    running = supervisord.programs() or []
                    return any(
                        program.name == "ccarchiver:sal"
                        and program.state == "RUNNING"
                        and str(second.pid) not in program.description
                        for program in running
                    )

                await eventually(restarted, "supervisord to start it again")
                server.start()

                async def third() -> bool:
                    known = await state_of(redis, "ccarchiver:sal", ProcessState.RUNNING)
                    return known.pid not in {first.pid, second.pid}

                await eventually(third, "the record of the third process")
                recorded = await exits(redis)
                assert second.pid in [program.pid for program in recorded]

                # Stopped by hand: no message to health, but the record has the new state.
                ask("stopProcess", "ccarchiver:sal")
                await state_of(redis, "ccarchiver:sal", ProcessState.STOPPED)
                assert await exits(redis) == recorded
                shown = alarms_of(await collect(redis, settings))
                [stopped] = [alarm for alarm in shown if "ccarchiver:sal" in alarm.text]
                assert stopped.name == AlarmName.WORKER_UNAVAILABLE
                assert "it was stopped" in stopped.text
                states = {program.name: program.state for program in supervisord.programs() or []}
                assert states["event_listener"] == "RUNNING"
                assert child.is_running
        log = (folder / "supervisord.log").read_text(encoding="utf-8")
        assert "overflow" not in log
        assert log.count("spawned: 'event_listener'") == 1, "the listener was never restarted"
