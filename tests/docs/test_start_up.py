"""Start-up and shutdown as documented, in a set-up checkout, with Redis and without RabbitMQ."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim import pace
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.environment import sal_environment
from tests.docs.command_registry import START_UP, line_of
from tests.docs.documents import DOCS, ROOT, commands
from tests.support.markdown import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_sim.testbed.brokers import PrivateRedis

LIMIT_S = 60.0
WELL, SOMETHING_WRONG = 0, 1
"""Exit codes of `ccarchiver doctor`: here it reports that RabbitMQ is missing."""
WORKERS = {
    "run_ccarchiver_health": b"page.disabled",
    "run_ccarchiver_bridge": b"worker.starting",
    "run_ccarchiver_sal": b"history.read",
}
"""The programs, and the log line of each when it is ready."""
SUPERVISED = len(WORKERS) + 1
"""The workers and the event listener."""


class Shell:
    """A shell in a checkout that runs one command after another and keeps the environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._env = {
            "PATH": programs,
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
        }

    def run(self, command: str, *allowed: int) -> str:
        """Run a command that must exit with 0 or an allowed code; keep its environment."""
        after = self.folder / "environment"
        script = f"{command}\ncode=$?\nenv -0 >{after}\nexit $code"
        done = pace.run(
            ["/bin/bash", "-c", script],
            LIMIT_S,
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode in {WELL, *allowed}, (
            f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        )
        self._env = dict(one.split("=", 1) for one in after.read_text().split("\0") if one)
        return str(done.stdout)

    def start(self, program: str) -> subprocess.Popen[bytes]:
        """Start a program in the foreground of another terminal."""
        log = self.folder / f"{program}.typed"
        with log.open("wb") as file:
            return subprocess.Popen(
                ["/bin/bash", "-c", f"exec {program}"],
                cwd=self.folder,
                env=self._env,
                stdout=file,
                stderr=file,
            )


@pytest.fixture
def shell(fresh_redis: PrivateRedis, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell in a folder like a checkout, with a short name for supervisord's socket."""
    folder = tmp_path_factory.mktemp("s")
    for name in ("deploy", "supervisord.conf", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "site-venv").symlink_to(Path(sys.executable).parent.parent)
    (folder / "config").mkdir()
    rabbit = f"{LOOPBACK}:{free_port()}/unknown"
    site = f"ROOT: {{REDIS_PORT: {fresh_redis.port}, BASE_BROKER_ADDR: {rabbit}, STATUS_PORT: 0}}\n"
    (folder / "config" / "ccarchiver_config.yaml").write_text(site)
    (folder / "credentials").mkdir(mode=0o700)
    credentials = folder / "credentials" / "iip_cred.yaml"
    credentials.touch(mode=0o600)
    credentials.write_text("rabbitmq_users: {service_user: unknown, service_passwd: none}\n")
    return Shell(folder)


def edit(environment: Path) -> None:
    """Adapt the copy to the site, as the page describes."""
    folder = environment.parent
    ours = {
        "IIP_CONFIG_DIR": folder / "config",
        "IIP_CREDENTIAL_DIR": folder / "credentials",
        "IIP_LOG_DIR": folder / "logs",
        "CCARCHIVER_RUN_DIR": folder / "run",
        **sal_environment(),
    }
    with environment.open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in ours.items())


async def wait_until_ready(logs: Mapping[Path, bytes], sizes: Mapping[Path, int]) -> None:
    """Wait until each log has the event of a worker that is ready, after its given size."""

    def logged(path: Path, event: bytes) -> bool:
        # A worker creates its log file some time after supervisord has started the process.
        return path.exists() and event in path.read_bytes()[sizes.get(path, 0) :]

    await polling.wait_for(
        lambda: all(logged(path, event) for path, event in logs.items()),
        LIMIT_S,
        "each worker to be ready",
    )


# Each integration test starts and stops the workers with the same supervisord.conf.
@pytest.mark.extended
async def test_documented_start_up_and_shutdown_work(shell: Shell) -> None:
    page = [
        block.commands
        for block in blocks((DOCS / "developer-guide/usage.md").read_text(encoding="utf-8"))
    ]
    up = next(typed for typed in page if "supervisord -c supervisord.conf" in typed)
    one_worker = next(typed for typed in page if any("restart" in command for command in typed))
    down = next(typed for typed in page if any("shutdown" in command for command in typed))
    by_hand = next(typed for typed in page if set(WORKERS) <= set(typed))
    assert by_hand == list(WORKERS)
    logs = {
        shell.folder / "logs" / f"{program.removeprefix('run_')}.log": event
        for program, event in WORKERS.items()
    }
    shell.run(up[0])
    edit(shell.folder / "site.env")
    try:
        for command in up[1:]:
            shell.run(command, *([SOMETHING_WRONG] if command == "ccarchiver doctor" else []))
        assert shell.run("supervisorctl status").count("RUNNING") == SUPERVISED
        for command in one_worker:
            shell.run(command)
        shell.run("supervisorctl restart ccarchiver:*")
        shell.run("supervisorctl restart event_listener")
        shell.run("supervisorctl tail ccarchiver:bridge")
        assert shell.run("supervisorctl status").count("RUNNING") == SUPERVISED
        shell.run("site-venv/bin/ccarchiver config check")
        await wait_until_ready(logs, {})
    finally:
        shell.run(down[0])
    pid_file = shell.folder / "run" / "supervisord.pid"
    await polling.wait_for(lambda: not pid_file.exists(), LIMIT_S, "supervisord's end")

    sizes = {path: path.stat().st_size for path in logs}
    started = [shell.start(program) for program in by_hand]
    try:
        await wait_until_ready(logs, sizes)
    finally:
        for worker in started:
            worker.send_signal(signal.SIGINT)
    for worker in started:
        pace.communicate(worker, LIMIT_S)
    assert [worker.returncode for worker in started] == [WELL] * len(WORKERS)


SUPERVISOR_KINDS = {"status", "shutdown", "restart", "stop", "start", "tail"}
"""Commands that the test above runs, each once; other pages use them for other workers."""


def test_each_command_verified_by_start_up_is_typed_there() -> None:
    ours = [
        command
        for command in commands()
        if (line := line_of(command)) is not None and line.detail == START_UP
    ]
    kinds = (
        "cp ",
        "set -a",
        "install -d",
        "supervisord ",
        "supervisorctl ",
        "run_ccarchiver_",
        "site-venv/bin/",
    )
    assert [command for command in ours if not command.startswith(kinds)] == []
    for command in ours:
        if command.startswith("supervisorctl"):
            kind, *names = command.replace("-c supervisord.conf ", "").split()[1:]
            assert kind in SUPERVISOR_KINDS
            assert set(names) <= {
                "event_listener",
                *(f"ccarchiver:{name}" for name in ("sal", "bridge", "health", "*", "…")),
            }
