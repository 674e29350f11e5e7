"""The check of replicated queues, run against a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest

from ccarchiver_cli.doctor import rabbit_replicas
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_cli.doctor.rabbit_replicas import MIRRORS_END_WITH
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.cli.doctor.doctor_helpers import only, run_check, site_of, write_credentials

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis


@pytest.fixture
def site(
    tmp_path: Path,
    fresh_redis: PrivateRedis,
    rabbit_server: PrivateRabbit,
    fresh_vhost: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """Return a site that names two nodes, both of them this server."""
    path = write_credentials(tmp_path / "credentials", rabbit_server.user, rabbit_server.password)
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(path.parent))
    address = rabbit_server.address_of(fresh_vhost)
    return site_of(fresh_redis, BASE_BROKER_ADDR=[address, address.replace(LOOPBACK, "localhost")])


def declare_all(site: Site, rabbit: PrivateRabbit, queue_type: str) -> None:
    account = pika.PlainCredentials(rabbit.user, rabbit.password)
    parameters = pika.ConnectionParameters(LOOPBACK, rabbit.port, site.settings.vhost, account)
    with pika.BlockingConnection(parameters) as connection:
        for name in site.settings.queues:
            connection.channel().queue_declare(
                name, durable=True, arguments={"x-queue-type": queue_type}
            )


def test_quorum_queues_are_replicated(site: Site, rabbit_server: PrivateRabbit) -> None:
    declare_all(site, rabbit_server, "quorum")

    finding = only(run_check(rabbit_replicas.check, site))

    assert finding.level is Level.OK
    assert f"{len(site.settings.queues)} quorum queues" in finding.found


def test_classic_queues_are_replicated_at_most_by_a_policy(
    site: Site, rabbit_server: PrivateRabbit
) -> None:
    declare_all(site, rabbit_server, "classic")

    finding = only(run_check(rabbit_replicas.check, site))

    if rabbit_server.version[0] >= MIRRORS_END_WITH:
        assert finding.level is Level.WARNING
        assert "telemetry_queue" in finding.found
        assert "--default-queue-type quorum" in finding.remedy
    else:
        assert finding.level is Level.OK
        assert "only a policy replicates" in finding.found


def test_one_node_needs_no_replicas(
    fresh_redis: PrivateRedis,
    rabbit_server: PrivateRabbit,
    fresh_vhost: str,
) -> None:
    assert run_check(rabbit_replicas.check, site_of(fresh_redis, rabbit_server, fresh_vhost)) == []
