"""The checks of RabbitMQ, run against a real server."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pika
import pytest

from ccarchiver_cli.doctor import amqp, rabbit_bindings, rabbit_queues
from ccarchiver_cli.doctor import rabbit_server as server_checks
from ccarchiver_cli.doctor.finding import Finding, Level, NotCheckedError
from ccarchiver_cli.doctor.registry import CHECKS
from ccarchiver_cli.doctor.runner import run
from ccarchiver_core import keys
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.replies import transact
from ccarchiver_sim import pace
from ccarchiver_sim.testbed.brokers import PrivateRabbit
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.cli.doctor.doctor_helpers import (
    bad,
    only,
    run_check,
    site_of,
    with_scaled_limits,
    write_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel

    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_sim.testbed.brokers import PrivateRedis

OURS = ("archive_ctrl_publish", "cc_foreman_ack_publish", "oods_publish_to_cc", "telemetry_queue")
THEIRS = ("archive_ctrl_consume", "cc_publish_to_oods")


@pytest.fixture
def credentials(
    tmp_path: Path, rabbit_server: PrivateRabbit, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Write the credentials file of the shared broker; return its path."""
    path = write_credentials(tmp_path / "credentials", rabbit_server.user, rabbit_server.password)
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(path.parent))
    return path


@pytest.fixture
def site(
    credentials: Path, fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> Site:
    """Return a site with credentials and its own virtual host."""
    assert credentials.exists()
    return site_of(fresh_redis, rabbit_server, fresh_vhost)


@contextmanager
def channel_to(site: Site, rabbit: PrivateRabbit) -> Iterator[BlockingChannel]:
    account = pika.PlainCredentials(rabbit.user, rabbit.password)
    parameters = pika.ConnectionParameters(
        LOOPBACK, rabbit.port, site.settings.vhost, account, heartbeat=0
    )
    with pika.BlockingConnection(parameters) as connection:
        yield connection.channel()


def make_all(channel: BlockingChannel) -> None:
    """Declare exchange, queues and bindings according to the wire contract."""
    channel.exchange_declare("message", "direct", durable=True)
    for name in (*OURS, *THEIRS):
        channel.queue_declare(name, durable=True)
        channel.queue_bind(name, "message", name)


def consume(channel: BlockingChannel, *names: str) -> None:
    for name in names:
        channel.basic_consume(name, lambda *_: None)


def begin_session(site: Site) -> None:
    async def write() -> None:
        redis = make_client(site.settings)
        await transact(
            redis, ("HSET", keys.SESSION, "id", "s1", "is_active", "1", "pairing", "searching")
        )
        await redis.aclose()

    asyncio.run(write())


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == f"rabbitmq.{check}"]


def test_correct_rabbitmq_is_ok(site: Site, rabbit_server: PrivateRabbit) -> None:
    begin_session(site)
    with channel_to(site, rabbit_server) as channel:
        make_all(channel)
        consume(channel, *OURS, *THEIRS)
        findings = [*run_check(server_checks.reach, site), *run_check(rabbit_queues.check, site)]
    assert [(one.check, one.level) for one in findings] == [
        ("rabbitmq", Level.OK),
        ("rabbitmq.exchange", Level.OK),
        ("rabbitmq.queues", Level.OK),
        ("rabbitmq.consumers", Level.OK),
    ]


def test_new_broker_findings_name_what_creates_the_missing_queues(site: Site) -> None:
    findings = run_check(rabbit_queues.check, site)
    assert {one.level for one in findings} == {Level.WARNING}
    assert "the bridge declares it at the next start" in only(of(findings, "exchange")).found
    for name in (*OURS, *THEIRS):
        assert name in only(of(findings, "queues")).found


def test_checks_create_no_exchange_or_queue(site: Site, rabbit_server: PrivateRabbit) -> None:
    run_check(rabbit_queues.check, site)
    with (
        channel_to(site, rabbit_server) as channel,
        pytest.raises(pika.exceptions.ChannelClosedByBroker),
    ):
        channel.queue_declare(OURS[0], passive=True)


def test_queue_missing_during_a_session_is_a_failure(
    site: Site, rabbit_server: PrivateRabbit
) -> None:
    begin_session(site)
    with channel_to(site, rabbit_server) as channel:
        make_all(channel)
        channel.queue_delete("archive_ctrl_consume")
        consume(channel, *OURS)
        finding = only(of(run_check(rabbit_queues.check, site), "queues"))
    assert finding.level is Level.FAILURE
    assert finding.found.startswith("missing: archive_ctrl_consume, although")
    assert finding.remedy == "supervisorctl restart ccarchiver:bridge"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda channel: channel.queue_declare("telemetry_queue", durable=False),
            "inequivalent arg 'durable'",
        ),
        (
            lambda channel: channel.queue_declare(
                "telemetry_queue", durable=True, arguments={"x-max-length": 1}
            ),
            "inequivalent arg 'x-max-length'",
        ),
    ],
)
def test_queue_with_other_properties_is_reported_and_unchanged(
    site: Site, rabbit_server: PrivateRabbit, make: Callable[[BlockingChannel], object], text: str
) -> None:
    with channel_to(site, rabbit_server) as channel:
        make_all(channel)
        channel.queue_delete("telemetry_queue")
        make(channel)
        finding = only(bad(of(run_check(rabbit_queues.check, site), "queues")))
        assert finding.level is Level.FAILURE
        assert text in finding.found
        assert "delete_queue -p " + site.settings.vhost + " telemetry_queue" in finding.remedy
        channel.queue_declare("telemetry_queue", passive=True)  # the check changed nothing


@pytest.mark.parametrize(("kind", "durable"), [("topic", True), ("direct", False)])
def test_exchange_with_other_properties_is_reported(
    site: Site,
    rabbit_server: PrivateRabbit,
    kind: str,
    durable: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    with channel_to(site, rabbit_server) as channel:
        channel.exchange_declare("message", kind, durable=durable)
        finding = only(of(run_check(rabbit_queues.check, site), "exchange"))
    assert finding.level is Level.FAILURE
    assert "wrong properties (expected: direct, durable)" in finding.found


def consumers_found(site: Site, rabbit: PrivateRabbit, *consumed: str) -> list[Finding]:
    with channel_to(site, rabbit) as channel:
        make_all(channel)
        channel.basic_publish("message", OURS[0], b"lost?")
        consume(channel, *consumed)
        return bad(of(run_check(rabbit_queues.check, site), "consumers"))


def test_missing_bridge_consumers_are_reported(site: Site, rabbit_server: PrivateRabbit) -> None:
    begin_session(site)
    finding = only(consumers_found(site, rabbit_server, *OURS[1:], *THEIRS))
    assert finding.level is Level.FAILURE
    assert f"no program consumes the archiver's {OURS[0]} (messages waiting: 1)" in finding.found


def test_missing_peer_consumers_are_reported(site: Site, rabbit_server: PrivateRabbit) -> None:
    begin_session(site)
    findings = consumers_found(site, rabbit_server, *OURS)
    assert [one.level for one in findings] == [Level.WARNING] * 2
    assert [one.remedy for one in findings] == [
        "start or restart the Controller",
        "start or restart the OODS",
    ]


def test_second_consumer_beside_the_bridge_is_reported(
    site: Site, rabbit_server: PrivateRabbit
) -> None:
    begin_session(site)
    finding = only(consumers_found(site, rabbit_server, *OURS, *THEIRS, "telemetry_queue"))
    assert finding.level is Level.FAILURE
    assert "another program consumes the archiver's telemetry_queue" in finding.found


def test_foreign_consumer_without_a_session_is_reported(
    site: Site, rabbit_server: PrivateRabbit
) -> None:
    finding = only(consumers_found(site, rabbit_server, *THEIRS, "telemetry_queue"))
    assert finding.level is Level.FAILURE
    assert "replaced archiver" in finding.remedy


def test_two_controllers_are_reported(site: Site, rabbit_server: PrivateRabbit) -> None:
    begin_session(site)
    finding = only(consumers_found(site, rabbit_server, *OURS, *THEIRS, "archive_ctrl_consume"))
    assert finding.level is Level.WARNING
    assert "2 processes share the Controller's queue" in finding.found


def test_queues_are_checked_without_redis(site: Site, rabbit_server: PrivateRabbit) -> None:
    blind = site_of(rabbit=rabbit_server, vhost=site.settings.vhost, REDIS_PORT=free_port())
    with channel_to(site, rabbit_server) as channel:
        make_all(channel)
        consume(channel, *THEIRS)
        findings = run_check(rabbit_queues.check, blind)
    assert {one.level for one in findings} == {Level.OK}
    assert "is in Redis" in only(of(findings, "consumers")).found


def test_wrong_password_is_reported_without_showing_it(
    site: Site, rabbit_server: PrivateRabbit, credentials: Path
) -> None:
    wrong = "correct-horse-battery"
    credentials.write_text(
        f"rabbitmq_users: {{service_user: {rabbit_server.user}, service_passwd: {wrong}}}\n"
    )
    finding = only(run_check(server_checks.reach, site))
    assert finding.level is Level.FAILURE
    assert "rejects the user or the password" in finding.found
    assert str(credentials) in finding.remedy
    assert wrong not in f"{finding}"


def test_missing_virtual_host_is_reported(site: Site, rabbit_server: PrivateRabbit) -> None:
    finding = only(run_check(server_checks.reach, site_of(rabbit=rabbit_server, vhost="/nowhere")))
    assert finding.level is Level.FAILURE
    assert "the user may not use the virtual host" in finding.found
    assert "rabbitmqctl add_vhost /nowhere" in finding.remedy
    with pytest.raises(NotCheckedError, match="RabbitMQ cannot be reached"):
        run_check(rabbit_queues.check, site_of(rabbit=rabbit_server, vhost="/nowhere"))
    assert only(run_check(server_checks.reach, site)).level is Level.OK


def test_unreachable_rabbitmq_is_reported(site: Site) -> None:
    port = free_port()
    unreachable = site_of(BASE_BROKER_ADDR=f"127.0.0.1:{port}/%2ftest_cc")
    finding = only(run_check(server_checks.reach, unreachable))
    assert finding.level is Level.FAILURE
    assert f"127.0.0.1:{port} (vhost /test_cc): it refused the connection" in finding.found
    assert finding.remedy.startswith("start RabbitMQ on that host, or correct BASE_BROKER_ADDR")
    assert only(run_check(server_checks.reach, site)).level is Level.OK


def test_old_rabbitmq_is_a_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_checks, "MIN_VERSION", (99, 1))
    assert only(run_check(server_checks.reach, site)).remedy == "install RabbitMQ 99.1 or later"


@pytest.fixture(scope="module")
def own_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    """A RabbitMQ that only this module uses, so that it can be frozen."""
    with PrivateRabbit(tmp_path_factory.mktemp("rabbit")) as rabbit:
        yield rabbit


@pytest.fixture
def own_login(
    own_rabbit: PrivateRabbit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrivateRabbit]:
    path = write_credentials(tmp_path / "own", own_rabbit.user, own_rabbit.password)
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(path.parent))
    yield own_rabbit
    own_rabbit.thaw()


@pytest.mark.processes
def test_frozen_rabbitmq_is_reported_in_time(own_login: PrivateRabbit) -> None:
    own_login.freeze()
    findings = run(with_scaled_limits(CHECKS, "rabbitmq"), site_of(rabbit=own_login))
    assert [(one.check, one.level) for one in findings] == [
        ("rabbitmq", Level.FAILURE),
        ("rabbitmq.queues", Level.WARNING),
    ]
    assert "does not answer within 5 s" in findings[0].found
    assert findings[1].found == "not checked: RabbitMQ cannot be reached"


@pytest.mark.processes
def test_rabbitmq_that_freezes_after_login_is_reported(
    own_login: PrivateRabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect_and_freeze(settings: Settings) -> pika.BlockingConnection:
        connection = amqp.connect(settings)
        own_login.freeze()
        return connection

    monkeypatch.setattr(server_checks, "connect", connect_and_freeze)
    finding = only(run_check(server_checks.reach, site_of(rabbit=own_login, AMQP_HEARTBEAT=1)))
    assert finding.level is Level.FAILURE
    assert (
        "accepted the login, then stopped answering: No activity or too many missed heartbeats"
        in finding.found
    )


def test_missing_bindings_are_found_with_rabbitmqctl(
    site: Site, rabbit_server: PrivateRabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rabbit_server.control_environment(os.environ).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        rabbit_bindings, "PROGRAM_LIMIT", pace.scaled(rabbit_bindings.PROGRAM_LIMIT)
    )
    with channel_to(site, rabbit_server) as channel:
        make_all(channel)
        assert only(run_check(rabbit_bindings.check, site)).level is Level.OK
        channel.queue_unbind("telemetry_queue", "message", "telemetry_queue")
        finding = only(run_check(rabbit_bindings.check, site))
    assert finding.level is Level.FAILURE
    assert finding.found.startswith("telemetry_queue is not bound to the exchange message")


def test_bindings_are_not_checked_without_rabbitmqctl(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotCheckedError, match="no program rabbitmqctl"):
        run_check(rabbit_bindings.check, site)
