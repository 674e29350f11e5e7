from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from ccarchiver_core.status.write_rejection import write_rejection_reason
from ccarchiver_sim import pace
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.child_process import ChildError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LIMIT_S = 60.0
"""Takes effect only if something is broken."""

pytestmark = pytest.mark.processes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path / "a folder with spaces") as started:
        yield started


def client_of(server: PrivateRedis) -> redis.Redis:
    return client_at(server.port, timeout=pace.scaled(5))


def client_at(port: int, timeout: float) -> redis.Redis:
    # No retries: these tests check the first error.
    once = Retry(NoBackoff(), 0)
    return redis.Redis(
        host="127.0.0.1", port=port, socket_timeout=timeout, retry=once, decode_responses=True
    )


def ping_until_gone(port: int) -> None:
    deadline = Deadline(LIMIT_S)
    with client_at(port, timeout=pace.scaled(1)) as client:
        while not deadline.has_passed():
            client.ping()
            time.sleep(0.01)


def test_private_redis_is_configured_to_be_durable(server: PrivateRedis) -> None:
    with client_of(server) as client:
        assert client.ping()
        settings = client.config_get("append*", "maxmemory-policy")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"


def test_private_redis_keeps_port_and_data_after_a_crash(server: PrivateRedis) -> None:
    with client_of(server) as client:
        client.set("key", "value")
    port, pid = server.port, server.pid
    server.kill()
    assert not server.is_running
    server.start()
    assert server.port == port
    assert server.pid != pid
    with client_of(server) as client:
        assert client.get("key") == "value"


def test_frozen_redis_keeps_connections_but_does_not_answer(server: PrivateRedis) -> None:
    # A frozen server never answers, so a timeout that is too short for a busy machine is harmless.
    with client_of(server) as patient, client_at(server.port, timeout=0.2) as hasty:
        assert patient.ping()
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            hasty.ping()
        server.thaw()
        assert patient.ping()


def test_stop_ends_a_frozen_redis(server: PrivateRedis) -> None:
    server.freeze()
    server.stop()
    assert not server.is_running


def test_start_failure_reports_the_reason_from_the_log(
    server: PrivateRedis, tmp_path: Path
) -> None:
    second = PrivateRedis(tmp_path / "second", port=server.port)
    # The first server answers on the port, so only the exit of the second process
    # shows the failure.
    second.launch()
    second.wait_ended()
    with pytest.raises(
        ChildError, match=r"redis-server ended with exit status 1; its log: .*redis-server\.out"
    ) as caught:
        second._server().require_running()
    assert "Address already in use" in str(caught.value)


def test_redis_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from ccarchiver_sim.testbed.brokers import PrivateRedis\n"
        "server = PrivateRedis(pathlib.Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.port, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = pace.run(
        [sys.executable, "-c", program, str(tmp_path)], LIMIT_S, capture_output=True, text=True
    )
    assert done.returncode == -9
    with pytest.raises(redis.ConnectionError):
        ping_until_gone(int(done.stdout))


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_full_disk_loses_no_acknowledged_write(tmp_path: Path, fsync: str) -> None:
    with PrivateRedis(tmp_path / "redis", fsync=fsync) as server, client_of(server) as client:
        client.set("before", "value")
        server.fill_disk()
        answered, refusal = write_until_refused(client)
        if fsync == "always":
            assert isinstance(refusal, redis.ConnectionError), "Redis exits"
            # Redis closes its connections before it exits; an immediate start would
            # find it running.
            server.wait_ended()
            server.start()
        else:
            assert str(refusal).startswith("MISCONF")
            assert client.get("before") == "value", "reads still work"
            assert asyncio.run(_why_no_writes(server)).startswith(
                "it cannot write its append-only file"
            )
            server.free_disk()
            written_again(client)
            assert asyncio.run(_why_no_writes(server)) == ""
            server.restart()
        assert [key for key in ["before", *answered] if client.get(key) != "value"] == []


def write_until_refused(client: redis.Redis) -> tuple[list[str], redis.RedisError]:
    """Write keys until Redis returns an error; return the acknowledged keys and the error."""
    answered = list[str]()
    while True:
        key = f"key {len(answered)}"
        try:
            client.set(key, "value")
        except redis.RedisError as error:
            return answered, error
        answered.append(key)


def written_again(client: redis.Redis) -> None:
    """Wait until Redis finds that its disk has space again; it checks once a second."""
    deadline = Deadline(LIMIT_S)
    while True:
        try:
            client.set("again", "value")
        except redis.ResponseError:
            assert not deadline.has_passed(), "Redis still rejects writes"
            time.sleep(0.05)
        else:
            return


async def _why_no_writes(server: PrivateRedis) -> str:
    async with redis.asyncio.Redis(port=server.port) as client:
        return await write_rejection_reason(client)
