"""Error texts of the commands when Redis cannot be used."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.testing import CliRunner, Result

from ccarchiver_cli.main import make_app
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRedis


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the site file."""
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    return tmp_path


def run(folder: Path, port: int, **root: object) -> Result:
    keys = {"REDIS_HOST": LOOPBACK, "REDIS_PORT": port, **root}
    text = yaml.safe_dump({"ROOT": keys})
    (folder / "ccarchiver_config.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(make_app("images"), ["images"])


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Run a server that accepts connections and never answers; yield its port."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_refused_connection_is_reported_with_what_to_do(folder: Path) -> None:
    port = free_port()
    result = run(folder, port)
    assert (result.exit_code, result.stdout) == (69, "")
    assert result.stderr == (
        f"ccarchiver: Redis at 127.0.0.1:{port} (database 14) refused the connection "
        "(nothing listens there); start Redis on that host, or correct REDIS_HOST and REDIS_PORT; "
        "then: ccarchiver doctor\n"
    )


def test_connection_without_an_answer_is_reported_with_the_time_limit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccarchiver_core.redis.client.COMMAND_TIMEOUT", 0.5)
    with silent_server() as port:
        result = run(folder, port)
    assert result.exit_code == 69
    assert result.stderr == (
        f"ccarchiver: Redis at 127.0.0.1:{port} (database 14) accepted the connection but did not "
        "answer within 0.5 s; check the Redis process and its disk on that host; "
        "then: ccarchiver doctor\n"
    )


def test_database_number_out_of_range_is_reported_as_a_wrong_configuration(
    folder: Path, fresh_redis: PrivateRedis
) -> None:
    result = run(folder, fresh_redis.port, ARCHIVER_REDIS_DB=99)
    assert result.exit_code == 78
    assert "returned an error: DB index is out of range; use a smaller ARCHIVER_REDIS_DB" in (
        result.stderr
    )
    assert result.stderr.endswith("then: ccarchiver doctor\n")
