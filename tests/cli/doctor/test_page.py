"""The doctor's check of the status page's port."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis

from ccarchiver_cli.doctor import page
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.cli.doctor.doctor_helpers import only, run_check, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from ccarchiver_sim.testbed.brokers import PrivateRedis


@contextmanager
def another_program() -> Iterator[int]:
    """Run a web server that is not the status page; yield its port."""
    with http.server.ThreadingHTTPServer(
        (LOOPBACK, 0), http.server.SimpleHTTPRequestHandler
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_disabled_page_is_ok() -> None:
    finding = only(run_check(page.check, site_of(STATUS_PORT=0)))
    assert (finding.level, "switched off" in finding.found) == (Level.OK, True)


def test_port_without_a_listener_is_a_warning() -> None:
    port = free_port()
    finding = only(run_check(page.check, site_of(STATUS_PORT=port)))
    assert finding.level is Level.WARNING
    assert finding.found == (
        f"the status page at 127.0.0.1:{port} refused the connection (nothing listens there)"
    )
    assert "ccarchiver:health" in finding.remedy


def test_remedy_names_the_log_file_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "night logs"
    monkeypatch.delenv("IIP_LOG_DIR", raising=False)

    site = site_of(STATUS_PORT=free_port(), LOGGING_DIR=str(folder))
    remedy = only(run_check(page.check, site)).remedy
    without = only(run_check(page.check, site_of(STATUS_PORT=free_port()))).remedy

    assert remedy.endswith(f"grep 'page\\.' '{folder}/ccarchiver_health.log'")
    assert without.endswith("supervisorctl tail ccarchiver:health")


def test_standby_host_accepts_that_the_active_host_serves_the_page(
    fresh_redis: PrivateRedis,
) -> None:
    site = site_of(fresh_redis, STATUS_PORT=free_port(), STANDBY=True)
    assert only(run_check(page.check, site)).level is Level.WARNING
    heartbeat = Heartbeat(worker=Worker.HEALTH, host="north").model_dump_json()
    with redis.Redis(port=fresh_redis.port, db=site.settings.archiver_redis_db) as client:
        client.set(Worker.HEALTH.alive, heartbeat)
    finding = only(run_check(page.check, site))
    assert (finding.level, "on north" in finding.found) == (Level.OK, True)


def test_port_of_another_program_is_a_warning() -> None:
    with another_program() as port:
        finding = only(run_check(page.check, site_of(STATUS_PORT=port)))
    assert (finding.level, "another program" in finding.found) == (Level.WARNING, True)
    assert f":{port}" in finding.remedy
