"""Start-up and shutdown as the documents have them, in a set-up checkout, beside a Redis and without RabbitMQ."""

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
    from ccarchiver_sim.testbed.brokers import PrivateRedis

LIMIT_S = 60.0
WELL, SOMETHING_WRONG = 0, 1
"""Exit codes of `ccarchiver doctor`: here it finds no RabbitMQ."""
WORKERS = {
    "run_ccarchiver_health": b"page.disabled",
    "run_ccarchiver_bridge": b"worker.starting",
    "run_ccarchiver_sal": b"history.read",
}
"""The programs, and what each logs when it is up."""
SUPERVISED = len(WORKERS) + 1
"""And the event listener."""


class Shell:
    """One shell in a checkout, to which commands are typed one after the other, the environment being kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._env = {"PATH": programs, "PYTHONPATH": str(ROOT), "HOME": str(folder), "LANG": "C.UTF-8"}

    def types(self, command: str, *allowed: int) -> str:
        """Type a command; it must end with 0 or a code that is allowed, and what it leaves in the environment stays."""
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
        assert done.returncode in {WELL, *allowed}, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        self._env = dict(one.split("=", 1) for one in after.read_text().split("\0") if one)
        return str(done.stdout)

    def starts(self, program: str) -> subprocess.Popen[bytes]:
        """Start a program in the foreground of another terminal."""
        log = self.folder / f"{program}.typed"
        with log.open("wb") as file:
            return subprocess.Popen(
                ["/bin/bash", "-c", f"exec {program}"], cwd=self.folder, env=self._env, stdout=file, stderr=file
            )


@pytest.fixture
def shell(fresh_redis: PrivateRedis, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell in a folder that looks like a checkout; its name is short, for supervisord's socket."""
    folder = tmp_path_factory.mktemp("s")
    for name in ("deploy", "supervisord.conf", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "site-venv").symlink_to(Path(sys.executable).parent.parent)
    (folder / "config").mkdir()
    rabbit = f"{LOOPBACK}:{free_port()}/nobody"
    site = f"ROOT: {{REDIS_PORT: {fresh_redis.port}, BASE_BROKER_ADDR: {rabbit}, STATUS_PORT: 0}}\n"
    (folder / "config" / "ccarchiver_config.yaml").write_text(site)
    (folder / "credentials").mkdir(mode=0o700)
    credentials = folder / "credentials" / "iip_cred.yaml"
    credentials.touch(mode=0o600)
    credentials.write_text("rabbitmq_users: {service_user: nobody, service_passwd: none}\n")
    return Shell(folder)


def edit(environment: Path) -> None:
    """Do what the page says in words: adapt the copy to the site."""
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


@pytest.mark.extended  # each integration test starts and stops the workers with the same supervisord.conf
async def test_the_workers_are_started_and_stopped_as_the_page_says(shell: Shell) -> None:
    page = [block.commands for block in blocks((DOCS / "developer-guide/usage.md").read_text(encoding="utf-8"))]
    up = next(typed for typed in page if "supervisord -c supervisord.conf" in typed)
    one_worker = next(typed for typed in page if any("restart" in command for command in typed))
    down = next(typed for typed in page if any("shutdown" in command for command in typed))
    by_hand = next(typed for typed in page if set(WORKERS) <= set(typed))
    assert by_hand == list(WORKERS)
    shell.types(up[0])
    edit(shell.folder / "site.env")
    try:
        for command in up[1:]:
            shell.types(command, *([SOMETHING_WRONG] if command == "ccarchiver doctor" else []))
        assert shell.types("supervisorctl status").count("RUNNING") == SUPERVISED
        for command in one_worker:
            shell.types(command)
        shell.types("supervisorctl restart ccarchiver:*")
        shell.types("supervisorctl restart watch")
        shell.types("supervisorctl tail ccarchiver:bridge")
        assert shell.types("supervisorctl status").count("RUNNING") == SUPERVISED
        shell.types("site-venv/bin/ccarchiver config check")
    finally:
        shell.types(down[0])
    pid_file = shell.folder / "run" / "supervisord.pid"
    await polling.wait_for(lambda: not pid_file.exists(), LIMIT_S, "supervisord's end")

    logs = shell.folder / "logs"
    awaited = {logs / f"{program.removeprefix('run_')}.log": event for program, event in WORKERS.items()}
    before = {path: path.stat().st_size for path in awaited}
    started = [shell.starts(program) for program in by_hand]
    try:
        await polling.wait_for(
            lambda: all(awaited[path] in path.read_bytes()[size:] for path, size in before.items()),
            LIMIT_S,
            "each worker to be up",
        )
    finally:
        for worker in started:
            worker.send_signal(signal.SIGINT)
    for worker in started:
        pace.communicate(worker, LIMIT_S)
    assert [worker.returncode for worker in started] == [WELL] * len(WORKERS)


SUPERVISOR_KINDS = {"status", "shutdown", "restart", "stop", "start", "tail"}
"""What the test above types, each once; elsewhere they are for other workers."""


def test_what_is_verified_here_is_typed_here() -> None:
    ours = [command for command in commands() if (line := line_of(command)) is not None and line.why == START_UP]
    kinds = ("cp ", "set -a", "install -d", "supervisord ", "supervisorctl ", "run_ccarchiver_", "site-venv/bin/")
    assert [command for command in ours if not command.startswith(kinds)] == []
    for command in ours:
        if command.startswith("supervisorctl"):
            kind, *names = command.replace("-c supervisord.conf ", "").split()[1:]
            assert kind in SUPERVISOR_KINDS
            assert set(names) <= {"watch", *(f"ccarchiver:{name}" for name in ("sal", "bridge", "health", "*", "…"))}
