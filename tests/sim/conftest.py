"""Private brokers, a site's files, and peers as separate processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.sim.peer_rig import ArchiverEnd, Peers, SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from tests.support.brokers import VhostPool


@pytest.fixture(scope="session")
def rabbit(rabbit_server: PrivateRabbit) -> PrivateRabbit:
    """Return the shared RabbitMQ; a module that kills it overrides this fixture."""
    return rabbit_server


@pytest.fixture(scope="session")
def vhost(vhosts: VhostPool) -> str:
    """Return one virtual host for all tests; each test finds it empty, see `ArchiverEnd`."""
    return vhosts.take()


@pytest.fixture
def site(
    tmp_path: Path, rabbit: PrivateRabbit, vhost: str, redis_server: PrivateRedis
) -> SiteFolder:
    config_dir, credential_dir = tmp_path / "config", tmp_path / "credentials"
    config_dir.mkdir()
    credential_dir.mkdir(mode=0o700)
    root = {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": redis_server.port,
        "BASE_BROKER_ADDR": rabbit.address_of(vhost),
        "ARCHIVE": {
            "FORWARDER_STAGING": str(tmp_path / "staging" / "forwarder"),
            "OODS_STAGING": str(tmp_path / "staging" / "oods"),
            "DBB_STAGING": str(tmp_path / "staging" / "dbb"),
        },
    }
    (config_dir / "ccarchiver_config.yaml").write_text(
        yaml.safe_dump({"ROOT": root}), encoding="utf-8"
    )
    credentials = credential_dir / "iip_cred.yaml"
    credentials.touch(mode=0o600)
    users = {"rabbitmq_users": {"service_user": rabbit.user, "service_passwd": rabbit.password}}
    credentials.write_text(yaml.safe_dump(users), encoding="utf-8")
    return SiteFolder(config_dir=config_dir, credential_dir=credential_dir)


@pytest.fixture
def peers(site: SiteFolder, tmp_path: Path) -> Iterator[Peers]:
    started = Peers(site.environment, tmp_path / "logs")
    yield started
    started.stop()


@pytest.fixture
def programs(site: SiteFolder, tmp_path: Path) -> Iterator[Peers]:
    """Return peers that are started as programs, as a user starts them."""
    started = Peers(site.environment, tmp_path / "logs", as_programs=True)
    yield started
    started.stop()


@pytest.fixture
def archiver(site: SiteFolder) -> Iterator[ArchiverEnd]:
    end = ArchiverEnd(site)
    yield end
    end.close()
