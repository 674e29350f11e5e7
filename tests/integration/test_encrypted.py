"""The archiver with encrypted connections and logins, peers without, and rejected connections."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_bridge.amqp.connection import AmqpConnection
from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.wiretap import WireTap
from tests.bridge.peer import credentials_of
from tests.support.archiver_harness import ArchiverHarness, short
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ccarchiver_sim.testbed.host import Host
    from tests.support.certificates import Certificate
    from tests.support.cli_server import CliServer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ACL = Path(__file__).parent.parent.parent / "deploy" / "redis-users.acl"
USER = "ccarchiver"
PASSWORD = secrets.token_urlsafe()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signs the certificates of both sides."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> Certificate:
    """Sign the archiver's certificate."""
    return authority.sign()


@pytest.fixture(scope="module")
def redis_tls(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateRedis]:
    """Start a Redis with a TLS port and the users of the site."""
    folder = tmp_path_factory.mktemp("redis")
    ready = f"user {USER} on #{hashlib.sha256(PASSWORD.encode()).hexdigest()} "
    users = folder / "users.acl"
    users.write_text(
        ACL.read_text(encoding="utf-8").replace(f"user {USER} off resetpass ", ready),
        encoding="utf-8",
    )
    with PrivateRedis(folder, users=users, tls=authority.sign("127.0.0.1").server) as server:
        yield server


@pytest.fixture(scope="module")
def rabbit_tls(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateRabbit]:
    """Start a RabbitMQ with a TLS port."""
    with PrivateRabbit(
        tmp_path_factory.mktemp("rabbit"), tls=authority.sign("127.0.0.1").server
    ) as server:
        yield server


def encrypted(
    redis: PrivateRedis, rabbit: PrivateRabbit, certificate: Certificate
) -> dict[str, object]:
    """Return the site file keys that select the TLS ports of these brokers."""
    return {
        "REDIS_PORT": redis.tls_port,
        "REDIS_TLS": certificate.section,
        "BASE_BROKER_ADDR": rabbit.address.replace(str(rabbit.port), str(rabbit.tls_port)),
        "RABBITMQ_TLS": certificate.section,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(
    redis_tls: PrivateRedis,
    rabbit_tls: PrivateRabbit,
    client: Certificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[ArchiverHarness, Host]]:
    """Start an archiver that uses only TLS ports, and peers as they are deployed."""
    rig = Rig(short(), redis=redis_tls, rabbit=rabbit_tls, parent=tmp_path_factory.mktemp("s"))
    login = {"service_user": USER, "service_passwd": PASSWORD}
    rig.folder.write_credentials(rabbit_tls.user, rabbit_tls.password, redis_users=login)
    host = rig.add_host("secured", REDIS_LOGIN=True, **encrypted(redis_tls, rabbit_tls, client))
    try:
        async with rig:
            host.supervisor.start()
            await rig.observer.wait_for_first_state()
            with WireTap(rig.rabbit, rig.vhost) as tap:
                yield ArchiverHarness(rig, tap), host
    finally:
        await rig.close()


async def test_images_are_complete_over_encrypted_connections(
    secured: tuple[ArchiverHarness, Host],
) -> None:
    harness, _host = secured
    await harness.set(())
    await harness.enable()
    position = harness.sal.position
    await harness.image()
    await harness.image()
    assert harness.sal.state == salobj.State.ENABLED
    assert not harness.sal.error_codes(since=position)


async def test_command_line_connects_over_encrypted_connections(
    secured: tuple[ArchiverHarness, Host], cli_server: CliServer
) -> None:
    _stage, host = secured
    doctor = await asyncio.to_thread(cli_server.run, ("doctor", "--json"), host.env)
    checks = {line["check"]: line for line in json.loads(doctor.stdout)["checks"]}
    assert checks["redis"]["level"] == checks["rabbitmq"]["level"] == "ok", checks
    status = await asyncio.to_thread(cli_server.run, ("status", "--json"), host.env)
    assert json.loads(status.stdout)["redis"]["answers"]


async def test_wrong_redis_password_is_reported_as_such(
    secured: tuple[ArchiverHarness, Host], cli_server: CliServer, tmp_path: Path
) -> None:
    harness, host = secured
    folder = tmp_path / "wrong"
    folder.mkdir(mode=0o700)
    wrong = folder / "iip_cred.yaml"
    wrong.touch(mode=0o600)
    text = (harness.rig.folder.credentials / "iip_cred.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace(PASSWORD, "x" + PASSWORD), encoding="utf-8")
    doctor = await asyncio.to_thread(
        cli_server.run, ("doctor", "--json"), host.env | {"IIP_CREDENTIAL_DIR": str(folder)}
    )
    found = {line["check"]: line for line in json.loads(doctor.stdout)["checks"]}["redis"]
    assert found["level"] == "failure"
    assert "rejects the login" in found["found"]
    assert str(wrong) in found["found"]
    assert PASSWORD not in doctor.stdout + doctor.stderr


async def test_remedy_for_an_untrusted_server_is_not_a_restart(
    secured: tuple[ArchiverHarness, Host], cli_server: CliServer, tmp_path: Path
) -> None:
    _stage, host = secured
    other = Authority(tmp_path / "other").ca
    site = tmp_path / host.site_file.name
    text = host.site_file.read_text(encoding="utf-8")
    site.write_text(
        text.replace(
            f"CA_FILE: {load_settings(host.site_file).redis_tls.ca_file}", f"CA_FILE: {other}"
        )
    )
    doctor = await asyncio.to_thread(
        cli_server.run, ("doctor", "--json"), host.env | {"IIP_CONFIG_DIR": str(tmp_path)}
    )
    checks = {line["check"]: line for line in json.loads(doctor.stdout)["checks"]}
    for name in ("redis", "rabbitmq"):
        assert "certificate verify failed" in checks[name]["found"]
        assert "Encrypted connections" in checks[name]["remedy"]
    status = await asyncio.to_thread(
        cli_server.run, ("status",), host.env | {"IIP_CONFIG_DIR": str(tmp_path)}
    )
    assert "rejects the connection: ccarchiver doctor" in " ".join(status.stdout.split())


# ---- rejected connections


async def test_server_certificate_of_another_authority_is_rejected(
    redis_tls: PrivateRedis, rabbit_tls: PrivateRabbit, client: Certificate, tmp_path: Path
) -> None:
    keys = encrypted(redis_tls, rabbit_tls, client)
    keys["REDIS_TLS"] = keys["RABBITMQ_TLS"] = client.section | {
        "CA_FILE": str(Authority(tmp_path / "other").ca)
    }
    await refused(Settings.model_validate(keys), rabbit_tls, "certificate verify failed")


async def test_server_certificate_for_another_name_is_rejected(
    redis_tls: PrivateRedis, rabbit_tls: PrivateRabbit, client: Certificate
) -> None:
    keys = encrypted(redis_tls, rabbit_tls, client) | {"REDIS_HOST": "localhost"}
    keys["BASE_BROKER_ADDR"] = str(keys["BASE_BROKER_ADDR"]).replace("127.0.0.1", "localhost")
    await refused(
        Settings.model_validate(keys), rabbit_tls, "certificate is not valid for 'localhost'"
    )


async def test_client_without_a_certificate_is_rejected(
    redis_tls: PrivateRedis, rabbit_tls: PrivateRabbit, client: Certificate
) -> None:
    only_ca = {"USE": True, "CA_FILE": str(client.ca)}
    keys = encrypted(redis_tls, rabbit_tls, client) | {
        "REDIS_TLS": only_ca,
        "RABBITMQ_TLS": only_ca,
    }
    await refused(Settings.model_validate(keys), rabbit_tls, "")


async def test_plaintext_client_is_rejected(
    redis_tls: PrivateRedis, rabbit_tls: PrivateRabbit, client: Certificate
) -> None:
    keys = encrypted(redis_tls, rabbit_tls, client) | {"REDIS_TLS": {}, "RABBITMQ_TLS": {}}
    await refused(Settings.model_validate(keys), rabbit_tls, "")


async def test_site_file_errors_name_the_wrong_certificates(
    secured: tuple[ArchiverHarness, Host], cli_server: CliServer, client: Certificate
) -> None:
    _stage, host = secured
    settings = load_settings(host.site_file)
    client.key.chmod(0o640)
    try:
        status = await asyncio.to_thread(cli_server.run, ("status",), host.env)
    finally:
        client.key.chmod(0o600)
    assert status.returncode == 78
    key = f"REDIS_TLS.KEY_FILE: {settings.redis_tls.key_file}"
    assert f"{key}: mode 640 gives other users access: chmod 600" in status.stderr


async def refused(settings: Settings, rabbit: PrivateRabbit, why: str) -> None:
    """Check that neither broker accepts the connection, for the expected reason."""
    redis = make_client(settings)
    with pytest.raises(UNAVAILABLE_ERRORS) as by_redis:
        await redis.ping()
    await redis.aclose()
    with pytest.raises(AmqpError) as by_rabbit:
        await AmqpConnection.open(settings, credentials_of(rabbit))
    assert why in str(by_redis.value)
    assert why in str(by_rabbit.value)
