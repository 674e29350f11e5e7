"""TLS of the connection to Redis: trusted authorities, and renewal of certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.config.site_sections import Tls
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_sim.testbed.brokers import PrivateRedis, PrivateSentinel
from ccarchiver_sim.testbed.brokers.ports import free_port
from tests.core.redis_helpers import looking_into, site
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes

MASTER = "archiver-redis"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signs the certificates of both sides."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateRedis]:
    """A Redis with a TLS port."""
    with PrivateRedis(
        tmp_path_factory.mktemp("redis"), tls=authority.sign("127.0.0.1").server
    ) as redis:
        yield redis


def encrypted(server: PrivateRedis, **section: object) -> Settings:
    """Return the settings of a site that connects to the TLS port."""
    return site(server.tls_port, REDIS_TLS={"USE": True, **section})


async def test_configured_ca_file_replaces_the_authorities_of_the_system(
    server: PrivateRedis, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))  # the authority of the system
    certificate = authority.sign()
    async with looking_into(
        encrypted(server, CERT_FILE=str(certificate.cert), KEY_FILE=str(certificate.key))
    ) as redis:
        assert await redis.ping()
    other = Authority(tmp_path / "other").ca
    async with looking_into(
        encrypted(server, **certificate.section | {"CA_FILE": str(other)})
    ) as redis:
        with pytest.raises(UNAVAILABLE_ERRORS, match="certificate verify failed"):
            await redis.ping()


async def test_renewed_certificate_is_used_without_a_restart(
    server: PrivateRedis, authority: Authority, tmp_path: Path
) -> None:
    await check_renewal(encrypted(server), authority, tmp_path)


async def test_renewed_certificate_is_used_without_a_restart_with_sentinels(
    server: PrivateRedis, authority: Authority, tmp_path: Path
) -> None:
    certificate, port = authority.sign("127.0.0.1"), free_port()
    extra = (
        f"tls-port {port}",
        "tls-replication yes",
        f"tls-ca-cert-file {certificate.ca}",
        f"tls-cert-file {certificate.cert}",
        f"tls-key-file {certificate.key}",
    )
    with PrivateSentinel(
        tmp_path / "sentinel", master=MASTER, master_port=server.tls_port, extra=extra
    ):
        root = {
            "REDIS_SENTINELS": [f"127.0.0.1:{port}"],
            "SENTINEL_SERVICE_NAME": MASTER,
            "REDIS_TLS": {"USE": True},
        }
        await check_renewal(Settings.model_validate(root), authority, tmp_path)


async def check_renewal(settings: Settings, authority: Authority, folder: Path) -> None:
    """Check that a client connects as soon as its certificate on disk is valid."""
    certificate = Authority(folder / "other").sign()
    tls = Tls.model_validate(certificate.section | {"CA_FILE": str(authority.ca)})
    async with looking_into(settings.model_copy(update={"redis_tls": tls})) as redis:
        with pytest.raises(UNAVAILABLE_ERRORS):
            await redis.ping()
        good = authority.sign()
        certificate.cert.write_bytes(good.cert.read_bytes())
        certificate.key.write_bytes(good.key.read_bytes())
        assert await redis.ping()


async def test_missing_certificate_file_is_named_in_the_error(
    server: PrivateRedis, authority: Authority
) -> None:
    certificate = authority.sign()
    async with looking_into(encrypted(server, **certificate.section)) as redis:
        certificate.cert.unlink()
        with pytest.raises(
            UNAVAILABLE_ERRORS, match=f"CERT_FILE: {certificate.cert}: cannot be read"
        ):
            await redis.ping()
