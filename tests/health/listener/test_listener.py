"""The event listener as supervisord.conf has it, under a real supervisord, with programs that die."""

from __future__ import annotations

import os
import signal
import socket
import sys
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
from ccarchiver_core.redis.client import retry_until_available
from ccarchiver_core.status.alarms import AlarmName, alarms_of
from ccarchiver_core.status.overview import collect
from ccarchiver_core.store.supervised_processes import read_processes
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.child_process import ChildProcess, base_environment
from tests.core.redis_helpers import eventually, looking_into, mail_in, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent.parent.parent
LISTENER = "eventlistener:watch"
HOST = "a-container"
"""Of two in one host, which has a name of its own."""
STOP_LIMIT_S = 30.0


def configuration(folder: Path) -> Path:
    """Write a configuration with the repository's own listener, one program that lives and one that cannot start."""
    parser = RawConfigParser(strict=False)
    parser.read(ROOT / "supervisord.conf", encoding="utf-8")
    written = RawConfigParser()
    for name in ("supervisord", "unix_http_server", "rpcinterface:supervisor", LISTENER):
        written[name] = parser[name]
    written["group:ccarchiver"] = {"programs": "sal,bridge"}
    written["program:sal"] = {"command": "sleep 600", "startsecs": "0", "autorestart": "true"}
    written["program:bridge"] = {"command": "false", "startsecs": "1", "startretries": "0", "autostart": "false"}
    path = folder / "supervisord.conf"
    with path.open("w", encoding="utf-8") as file:
        written.write(file)
    return path


@asynccontextmanager
async def supervised(folder: Path, port: int) -> AsyncIterator[ChildProcess]:
    """Run supervisord with the listener for the time of a block."""
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
    """Wait until a program is known to be in one of these states."""

    async def known() -> SupervisedProcess | None:
        # Patiently: the connection to a Redis that was away is found broken when it is used again.
        found = {program.name: program for program in await retry_until_available(lambda: read_processes(redis))}
        return found[name] if name in found and found[name].state in states else None

    return await eventually(known, f"{name} to be {states}")


async def letters(redis: Redis) -> list[SupervisedProcess]:
    return [message.process for message in await mail_in(redis, Worker.HEALTH) if isinstance(message, ProcessExited)]


def ask(verb: str, name: str) -> None:
    """Have supervisord start a program, without waiting for it."""
    with supervisord.server() as proxy:
        getattr(proxy.supervisor, verb)(name, False)  # noqa: FBT003  its own way to say: do not wait


async def test_what_supervisord_does_is_told_also_after_redis_was_away(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("w")  # a socket's path must be short
    monkeypatch.setenv("CCARCHIVER_RUN_DIR", str(folder))
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        settings = site(server.port)
        async with looking_into(settings) as redis:
            here, there = (
                SupervisedProcess(
                    name="ccarchiver:gone", state=ProcessState.FATAL, host=host, supervisord="another one"
                )
                for host in (HOST, socket.gethostname())
            )
            for one in (here, there):
                await redis.hset(keys.SUPERVISED_PROCESSES, one.field, one.model_dump_json())
            async with supervised(folder, server.port) as child:
                # Killed: a letter with the process that is gone, and the record of its successor.
                first = await state_of(redis, "ccarchiver:sal", ProcessState.RUNNING)
                os.kill(first.pid, signal.SIGKILL)

                async def successor() -> SupervisedProcess | None:
                    now = await state_of(redis, "ccarchiver:sal", ProcessState.RUNNING)
                    return now if now.pid != first.pid else None

                second = await eventually(successor, "the next process")
                [ended] = await letters(redis)
                assert (ended.name, ended.state, ended.pid) == ("ccarchiver:sal", ProcessState.EXITED, first.pid)
                assert ended.has_crashed
                told_by_others = [it for it in await read_processes(redis) if it.name == "ccarchiver:gone"]
                assert told_by_others == [there], "what a supervisord said that was here before is gone"

                # Given up: an alarm, though neither that worker nor health has ever lived.
                ask("startProcess", "ccarchiver:bridge")
                await state_of(redis, "ccarchiver:bridge", ProcessState.FATAL)
                shown = alarms_of(await collect(redis, settings))
                fatal = [alarm.text for alarm in shown if alarm.name == AlarmName.PROCESS_FATAL]
                assert any(f"{HOST} has given ccarchiver:bridge up" in text for text in fatal)
                assert "worker_unavailable" not in [alarm.name for alarm in shown if "bridge" in alarm.text]

                # Redis away: supervisord goes on as ever, and what happened meanwhile is there when Redis is back.
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
                told = await letters(redis)
                assert second.pid in [program.pid for program in told]

                # Stopped by hand: no news for health, but whoever asks is told.
                ask("stopProcess", "ccarchiver:sal")
                await state_of(redis, "ccarchiver:sal", ProcessState.STOPPED)
                assert await letters(redis) == told
                shown = alarms_of(await collect(redis, settings))
                [away] = [alarm for alarm in shown if "ccarchiver:sal" in alarm.text]
                assert away.name == AlarmName.WORKER_UNAVAILABLE
                assert "it was stopped" in away.text
                states = {program.name: program.state for program in supervisord.programs() or []}
                assert states["watch"] == "RUNNING"
                assert child.is_running
        log = (folder / "supervisord.log").read_text(encoding="utf-8")
        assert "overflow" not in log
        assert log.count("spawned: 'watch'") == 1, "it lived through all of it"
