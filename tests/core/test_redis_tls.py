"""Encryption of the connection to Redis: whom it believes, and certificates that are renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.config.site_sections import Tls
from ccarchiver_core.redis.client import UNAVAILABLE_ERRORS
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
    """Who signs what both sides show."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A Redis with a port for certificates."""
    with PrivateRedis(tmp_path_factory.mktemp("redis"), tls=authority.sign("127.0.0.1").server) as redis:
        yield redis


def encrypted(server: PrivateRedis, **section: object) -> Settings:
    """Give the settings of a site that reaches it by its encrypted port."""
    return site(server.tls_port, REDIS_TLS={"USE": True, **section})


async def test_who_names_an_authority_believes_no_other(
    server: PrivateRedis, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))  # whom the system believes
    paper = authority.sign()
    async with looking_into(encrypted(server, CERT_FILE=str(paper.cert), KEY_FILE=str(paper.key))) as redis:
        assert await redis.ping()
    other = Authority(tmp_path / "other").ca
    async with looking_into(encrypted(server, **paper.section | {"CA_FILE": str(other)})) as redis:
        with pytest.raises(UNAVAILABLE_ERRORS, match="certificate verify failed"):
            await redis.ping()


async def test_a_renewed_certificate_needs_no_restart(
    server: PrivateRedis, authority: Authority, tmp_path: Path
) -> None:
    await renewed(encrypted(server), authority, tmp_path)


async def test_a_renewed_certificate_needs_no_restart_with_sentinels_either(
    server: PrivateRedis, authority: Authority, tmp_path: Path
) -> None:
    paper, port = authority.sign("127.0.0.1"), free_port()
    extra = (
        f"tls-port {port}",
        "tls-replication yes",
        f"tls-ca-cert-file {paper.ca}",
        f"tls-cert-file {paper.cert}",
        f"tls-key-file {paper.key}",
    )
    with PrivateSentinel(tmp_path / "sentinel", master=MASTER, master_port=server.tls_port, extra=extra):
        root = {"REDIS_SENTINELS": [f"127.0.0.1:{port}"], "SENTINEL_SERVICE_NAME": MASTER, "REDIS_TLS": {"USE": True}}
        await renewed(Settings.model_validate(root), authority, tmp_path)


async def renewed(settings: Settings, authority: Authority, folder: Path) -> None:
    """See that one client is let in as soon as its certificate on disk is a good one."""
    paper = Authority(folder / "other").sign()
    tls = Tls.model_validate(paper.section | {"CA_FILE": str(authority.ca)})
    async with looking_into(settings.model_copy(update={"redis_tls": tls})) as redis:
        with pytest.raises(UNAVAILABLE_ERRORS):
            await redis.ping()
        good = authority.sign()
        paper.cert.write_bytes(good.cert.read_bytes())
        paper.key.write_bytes(good.key.read_bytes())
        assert await redis.ping()


async def test_a_certificate_that_vanishes_is_waited_for_and_named(server: PrivateRedis, authority: Authority) -> None:
    paper = authority.sign()
    async with looking_into(encrypted(server, **paper.section)) as redis:
        paper.cert.unlink()
        with pytest.raises(UNAVAILABLE_ERRORS, match=f"CERT_FILE: {paper.cert}: cannot be read"):
            await redis.ping()
