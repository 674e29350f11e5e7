"""The check of supervisord, run against a real one with programs that run, exit and crash."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli.doctor import supervisor
from ccarchiver_cli.doctor.finding import Finding, Level
from ccarchiver_cli.doctor.site import Site
from ccarchiver_sim.testbed.child_process import ChildProcess
from tests.cli.doctor.doctor_helpers import only, run_check
from tests.core.redis_helpers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.processes

FOREVER = "setpriv --pdeathsig KILL sleep 600"
"""The process ends when its supervisord is killed."""
SITE = Site(None)
STOP_LIMIT_S = 20.0


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a short name, because the path of a socket must be short."""
    folder = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("CCARCHIVER_RUN_DIR", str(folder))
    return folder


@contextmanager
def supervised(folder: Path, **commands: str) -> Iterator[ChildProcess]:
    """Run supervisord with these programs in the archiver's group."""
    programs = "".join(
        f"[program:{name}]\ncommand={command}\nautorestart=unexpected\nstartsecs=1\nstartretries=1000\n"
        for name, command in commands.items()
    )
    configuration = folder / "supervisord.conf"
    configuration.write_text(
        f"[supervisord]\nlogfile={folder}/log\npidfile={folder}/supervisord.pid\n"
        f"[unix_http_server]\nfile={folder}/supervisor.sock\nchmod=0700\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[group:ccarchiver]\nprograms={','.join(commands)}\n{programs}",
        encoding="utf-8",
    )
    argv = ["supervisord", "--nodaemon", "--configuration", str(configuration)]
    child = ChildProcess("supervisord", argv, env=environment(), log_path=folder / "out")
    child.start()
    try:
        yield child
    finally:
        child.stop(STOP_LIMIT_S)


def environment() -> dict[str, str]:
    programs = Path(sys.executable).parent
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LANG": "C.UTF-8"}


async def found_when(text: str) -> list[Finding]:
    """Run the check until a finding contains a text; programs need time to reach their state."""

    async def ask() -> list[Finding]:
        findings = run_check(supervisor.check, SITE)
        return findings if any(text in one.found for one in findings) else []

    return await eventually(ask, f"supervisord to show {text!r}")


async def test_running_programs_are_ok(run_dir: Path) -> None:
    with supervised(run_dir, health=FOREVER, bridge=FOREVER, sal=FOREVER):
        finding = only(await found_when("running: health (pid "))
    assert finding.level is Level.OK


async def test_each_program_that_is_not_running_has_its_own_finding(run_dir: Path) -> None:
    with supervised(run_dir, health=FOREVER, bridge="false", sal="sleep 2"):
        findings = await found_when("exitControl")
    by_name = {one.found.partition(" is ")[0]: one for one in findings}
    assert set(by_name) == {"ccarchiver:bridge", "ccarchiver:sal"}
    assert by_name["ccarchiver:sal"].level is Level.WARNING
    assert by_name["ccarchiver:sal"].remedy == "supervisorctl start ccarchiver:sal"


async def test_program_that_exits_after_its_start_is_reported(run_dir: Path) -> None:
    with supervised(run_dir, health=FOREVER, bridge="false", sal=FOREVER):
        findings = await found_when("ccarchiver:bridge is BACKOFF")
    finding = only(
        one for one in findings if "BACKOFF" in one.found
    )  # the others may still be starting
    assert finding.level is Level.FAILURE
    assert finding.remedy == "supervisorctl tail ccarchiver:bridge"


async def test_program_missing_from_the_configuration_is_reported(run_dir: Path) -> None:
    with supervised(run_dir, health=FOREVER, bridge=FOREVER):
        findings = await found_when("supervisord knows no program ccarchiver:sal")
    assert only(one for one in findings if "ccarchiver:sal" in one.found).level is Level.FAILURE


def test_missing_supervisord_is_reported(run_dir: Path) -> None:
    finding = only(run_check(supervisor.check, SITE))
    assert finding.level is Level.FAILURE
    assert (
        finding.found
        == f"supervisord does not run: no program listens on {run_dir}/supervisor.sock"
    )
    assert finding.remedy == "supervisord -c supervisord.conf"


async def test_socket_of_a_dead_supervisord_is_reported(run_dir: Path) -> None:
    with supervised(run_dir, health=FOREVER) as child:
        await found_when("knows no program")
        child.kill()
    assert (run_dir / "supervisor.sock").exists()
    assert "no program listens" in only(run_check(supervisor.check, SITE)).found


async def test_frozen_supervisord_is_reported_in_time(run_dir: Path) -> None:
    with supervised(run_dir, health=FOREVER) as child:
        await found_when("knows no program")
        child.freeze()
        finding = only(run_check(supervisor.check, SITE))
    assert finding.level is Level.FAILURE
    assert "supervisord hangs" in finding.found
    assert f"$(cat {run_dir}/supervisord.pid)" in finding.remedy


async def test_supervisord_that_shuts_down_is_a_warning(run_dir: Path) -> None:
    slow = f"{FOREVER.removesuffix('sleep 600')}sh -c 'trap : TERM; while true; do sleep 1; done'"
    with supervised(run_dir, health=slow, bridge=FOREVER, sal=FOREVER) as child:
        await found_when("running")
        child.signal(signal.SIGTERM)
        found = only(await found_when("shutting down"))
    assert found.level is Level.WARNING


def test_unset_run_directory_is_reported() -> None:
    finding = only(run_check(supervisor.check, SITE))
    assert finding.level is Level.WARNING
    assert "CCARCHIVER_RUN_DIR is not set" in finding.found


def test_stopped_event_listener_is_a_warning() -> None:
    workers: list[Mapping[str, object]] = [
        {"group": "ccarchiver", "name": name, "statename": "RUNNING", "description": "", "pid": 1}
        for name in supervisor.PROGRAMS
    ]
    listener = {
        "group": "event_listener",
        "name": "event_listener",
        "statename": "BACKOFF",
        "description": "",
        "pid": 0,
    }

    levels = [finding.level for finding in supervisor.evaluate([*workers, listener])]
    assert levels == [Level.WARNING, Level.OK]
    assert [
        finding.level
        for finding in supervisor.evaluate([*workers, listener | {"statename": "RUNNING"}])
    ] == [Level.OK]
    assert [finding.level for finding in supervisor.evaluate(workers)] == [Level.OK], (
        "a supervisord started with an older configuration has no listener"
    )
