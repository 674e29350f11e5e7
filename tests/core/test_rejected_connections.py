"""A Redis that rejects a connection with a text and closes it: the text reaches the operator."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import LogCapture
from typer.testing import CliRunner

from ccarchiver_cli.doctor import redis_server
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_cli.main import make_app
from ccarchiver_core.base.exit_codes import EXIT_UNAVAILABLE
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.redis.server_check import CheckedConnection
from ccarchiver_core.status.alarms import alarms_of
from ccarchiver_core.status.overview import collect
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.cli.doctor.doctor_helpers import only, run_check, site_of
from tests.core.redis_helpers import LIMIT_S, eventually, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

pytestmark = pytest.mark.processes

OTHER_ADDRESS = "127.0.0.9"
"""A source address that protected mode does not count as this machine's own."""

PROTECTED = "rejected the connection: Redis is running in protected mode because"
FULL = "rejected the connection: max number of clients reached"

ATTEMPTS = 20
"""Connections of one test: whether the text or the end of the connection is read first varies."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """Start a Redis in protected mode."""
    redis = PrivateRedis(tmp_path / "redis")
    redis.extra = {"protected-mode": "yes"}
    with redis:
        yield redis


@pytest.fixture
def from_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all connections begin at another address of this machine."""
    arguments = CheckedConnection._connection_arguments

    def with_source(self: CheckedConnection) -> dict[str, Any]:
        return {**arguments(self), "local_addr": (OTHER_ADDRESS, 0)}

    monkeypatch.setattr(CheckedConnection, "_connection_arguments", with_source)


@asynccontextmanager
async def one_client(server: PrivateRedis) -> AsyncIterator[Redis]:
    """Use up the only connection that the server accepts for the duration of a block."""
    client = make_client(site(server.port))
    try:
        await client.config_set("maxclients", 1)
        yield client
    finally:
        await client.config_set("maxclients", 100)
        await client.aclose()


async def texts_of(settings: Settings) -> set[str]:
    """Return the texts about some attempts to connect."""
    found = set()
    for _ in range(ATTEMPTS):
        client = make_client(settings)
        with pytest.raises(UNAVAILABLE_ERRORS) as caught:
            await client.ping()
        found.add(describe(caught.value))
        await client.aclose()
    return found


@pytest.mark.usefixtures("from_other_address")
@pytest.mark.parametrize("database", [0, 14])
async def test_protected_mode_is_reported_with_redis_own_text(
    server: PrivateRedis, database: int
) -> None:
    [text] = await texts_of(site(server.port, ARCHIVER_REDIS_DB=database, FORWARDER_REDIS_DB=1))
    assert text.startswith(PROTECTED)
    assert "password" in text.partition(";")[2], "the remedy"


@pytest.mark.parametrize("database", [0, 14])
async def test_full_redis_is_reported_with_redis_own_text(
    server: PrivateRedis, database: int
) -> None:
    async with one_client(server):
        [text] = await texts_of(site(server.port, ARCHIVER_REDIS_DB=database, FORWARDER_REDIS_DB=1))
    assert text.startswith(FULL)
    assert "maxclients" in text.partition(";")[2], "the remedy"


async def test_log_names_the_cause_while_a_worker_waits(server: PrivateRedis) -> None:
    lines = LogCapture()
    structlog.configure(processors=[lines])
    async with one_client(server) as holder:
        waiting = make_client(site(server.port))
        task = asyncio.create_task(retry_until_available(waiting.ping))

        async def logged() -> bool:
            return any(line["event"] == "redis.unavailable" for line in lines.entries)

        await eventually(logged, "the log line")
        await holder.config_set("maxclients", 100)
        async with within(LIMIT_S):
            await task
        await waiting.aclose()
    [line] = [line for line in lines.entries if line["event"] == "redis.unavailable"][:1]
    assert FULL in line["error"]


@pytest.mark.usefixtures("from_other_address")
async def test_alarm_names_the_cause(server: PrivateRedis) -> None:
    settings = site(server.port)
    client = make_client(settings)
    [alarm] = alarms_of(await collect(client, settings))
    await client.aclose()
    assert PROTECTED in alarm.text
    assert "restart" not in alarm.remedy


@pytest.mark.usefixtures("from_other_address")
def test_doctor_and_commands_name_the_cause(
    server: PrivateRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = only(run_check(redis_server.reach, site_of(server)))
    assert finding.level is Level.FAILURE
    assert PROTECTED in finding.found
    (tmp_path / "ccarchiver_config.yaml").write_text(
        f"ROOT:\n  REDIS_HOST: {LOOPBACK}\n  REDIS_PORT: {server.port}\n", encoding="utf-8"
    )
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    result = CliRunner().invoke(make_app("images"), ["images"])
    assert result.exit_code == EXIT_UNAVAILABLE
    assert PROTECTED in result.stderr
