"""The documented Redis commands, run on a private Redis."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import redis

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.docs.command_registry import Verification, commands_of
from tests.docs.documents import DOCS, ROOT, commands
from tests.support.markdown import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes

DATABASE = 14
LIMIT_S = 60.0
SNAPSHOT = "ccarchiver.rdb"


def run(command: str, folder: Path, port: int) -> str:
    """Run a command of a page, with the port of the test's Redis instead of the usual one."""
    there = command.replace("-p 6379", f"-p {port}")
    if there.startswith("redis-cli") and "-p " not in there:
        there = there.replace("redis-cli", f"redis-cli -p {port}", 1)
    done = subprocess.run(
        ["/bin/sh", "-c", there],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{there}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A Redis that the tests may empty and stop."""
    with PrivateRedis(tmp_path_factory.mktemp("own_redis")) as server:
        yield server


async def test_documented_backup_and_restore_work(own_redis: PrivateRedis, tmp_path: Path) -> None:
    page = {
        block.commands[0].split()[0]: block
        for block in blocks((DOCS / "operations/backup.md").read_text())
    }
    make, restore = page["redis-cli"].commands, page["redis-server"].commands
    kept = {f"ccarchiver:image:{number}": "an image" for number in range(100)}
    with redis.Redis(LOOPBACK, own_redis.port, DATABASE, decode_responses=True) as client:
        client.mset(kept)
    for command in make:
        run(command, tmp_path, own_redis.port)

    folder = tmp_path / "var"
    folder.mkdir()
    shutil.move(tmp_path / SNAPSHOT, folder / "dump.rdb")
    port = free_port()
    start = restore[0].replace("deploy/redis.conf", str(ROOT / "deploy" / "redis.conf"))
    run(f"{start} --port {port} --dir {folder}", tmp_path, port)
    await polling.wait_for(lambda: answers(port), LIMIT_S, "the Redis in the background to answer")
    try:
        run(restore[1], tmp_path, port)
        await polling.wait_for(
            lambda: is_whole(run(restore[2], tmp_path, port)),
            LIMIT_S,
            "a complete append-only file",
        )
    finally:
        run("redis-cli -h 127.0.0.1 -p 6379 shutdown", tmp_path, port)
    with (
        PrivateRedis(folder, port),
        redis.Redis(LOOPBACK, port, DATABASE, decode_responses=True) as client,
    ):
        assert {key: client.get(key) for key in client.scan_iter()} == kept


def answers(port: int) -> bool:
    """Return whether a Redis answers and has loaded its data."""
    with redis.Redis(LOOPBACK, port, DATABASE) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def is_whole(persistence: str) -> bool:
    """Return whether the append-only file is complete, by the two lines that the page names."""
    fields = dict(re.findall(r"^(\w+):(\w+)", persistence, re.MULTILINE))
    return (fields["aof_rewrite_in_progress"], fields["aof_last_bgrewrite_status"]) == ("0", "ok")


ASKED = [
    command
    for command in commands_of(Verification.ON_REDIS, list(commands()))
    if SNAPSHOT not in command
]
LAST = [command for command in ASKED if command.endswith(" shutdown")]


@pytest.mark.parametrize("command", [*(command for command in ASKED if command not in LAST), *LAST])
def test_documented_redis_command_is_accepted(
    own_redis: PrivateRedis, command: str, tmp_path: Path
) -> None:
    if not own_redis.is_running:
        own_redis.start()
    assert "ERR" not in run(command, tmp_path, own_redis.port)
