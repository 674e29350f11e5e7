"""A server of a kind that the archiver cannot use ends each program with a text in plain words."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.testing import CliRunner

from ccarchiver_cli.doctor import redis_server
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_cli.main import make_app
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_sim.pace import run
from ccarchiver_sim.testbed.brokers import PrivateRedis, PrivateSentinel
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.cli.doctor.doctor_helpers import only, run_check, site_of
from tests.core.redis_helpers import LIMIT_S, site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_sim.testbed.brokers.server import PrivateServer

pytestmark = pytest.mark.processes

DATABASES = (0, 14)
"""A cluster has only database 0. It rejects another one before the client sends a command."""

TEXT = "runs in cluster mode, which the archiver does not support; use a Redis with"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """Start a Redis in cluster mode."""
    server = PrivateRedis(tmp_path_factory.mktemp("cluster"))
    server.extra = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the site file."""
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    return tmp_path


def write_site(folder: Path, server: PrivateServer, database: int) -> None:
    """Write a site file."""
    root = {
        "REDIS_HOST": LOOPBACK,
        "REDIS_PORT": server.port,
        "ARCHIVER_REDIS_DB": database,
        "FORWARDER_REDIS_DB": 1,
        "LOGGING_DIR": str(folder),
    }
    text = yaml.safe_dump({"ROOT": root})
    (folder / "ccarchiver_config.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("database", DATABASES)
async def test_cluster_mode_is_a_wrong_configuration(cluster: PrivateRedis, database: int) -> None:
    client = make_client(site(cluster.port, ARCHIVER_REDIS_DB=database, FORWARDER_REDIS_DB=1))
    with pytest.raises(ConfigError, match=TEXT):
        await retry_until_available(client.ping)
    await client.aclose()


async def test_sentinel_as_redis_is_a_wrong_configuration(tmp_path: Path) -> None:
    with PrivateSentinel(tmp_path, master="m", master_port=free_port()) as sentinel:
        client = make_client(site(sentinel.port))
        with pytest.raises(ConfigError, match=r"is a Sentinel; its address belongs in REDIS_SENT"):
            await retry_until_available(client.ping)
        await client.aclose()


@pytest.mark.parametrize("name", ["bridge", "health", "sal"])
async def test_worker_exits_with_the_configuration_code_in_cluster_mode(
    cluster: PrivateRedis, folder: Path, name: str
) -> None:
    write_site(folder, cluster, DATABASES[0])
    ended = await asyncio.to_thread(
        run,
        [Path(sys.executable).parent / f"run_ccarchiver_{name}"],
        LIMIT_S,
        env=os.environ | {"LSST_DDS_PARTITION_PREFIX": "test"},
        capture_output=True,
    )
    output = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == EXIT_CONFIG, output
    assert TEXT in output
    assert "Traceback" not in output


@pytest.mark.parametrize("database", DATABASES)
def test_command_reports_cluster_mode(cluster: PrivateRedis, folder: Path, database: int) -> None:
    write_site(folder, cluster, database)
    for words in (["images"], ["status"]):
        result = CliRunner().invoke(make_app(words[0]), words)
        assert result.exit_code == EXIT_CONFIG, result.output
        assert TEXT in result.stderr


@pytest.mark.parametrize("database", DATABASES)
def test_doctor_reports_cluster_mode(cluster: PrivateRedis, database: int) -> None:
    site = site_of(cluster, ARCHIVER_REDIS_DB=database, FORWARDER_REDIS_DB=1)
    finding = only(run_check(redis_server.reach, site))
    assert finding.level is Level.FAILURE
    assert TEXT in finding.found
