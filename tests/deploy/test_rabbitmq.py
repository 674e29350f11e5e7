"""The definitions for a site's RabbitMQ: the user can do the archiver's work and nothing else."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pika
import pytest

from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core.amqp.topology import EXCHANGE
from ccarchiver_core.config.credentials import Credentials
from ccarchiver_core.config.settings import Settings
from tests.bridge.peer import on_the_wire
from tests.core.redis_helpers import LIMIT_S, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pika.adapters.blocking_connection import BlockingChannel

    from ccarchiver_sim.testbed.brokers import PrivateRabbit

ROOT = Path(__file__).parent.parent.parent
DEFINITIONS = ROOT / "deploy" / "rabbitmq-definitions.json"
PAGE = ROOT / "docs" / "operations" / "brokers.md"

SITE = Settings()
VHOST = SITE.vhost
FORWARDER = "f99_consume"
FOREIGN = "other_owner"
DEAD = "ccarchiver.dead"
ACCESS_REFUSED = 403
"""Reply code of AMQP."""
TAKEN = {
    SITE.forwarder_publish_queue,
    SITE.archive_ctrl_publish_queue,
    SITE.telemetry_queue,
    SITE.queue_from_oods,
}
"""Queues that the archiver consumes."""
PEERS = {SITE.archive_ctrl_consume_queue, SITE.queue_to_oods}
"""Queues that the archiver declares for peers and must not read."""
PASSWORD = secrets.token_urlsafe()


def definitions(vhost: str = VHOST) -> dict[str, Any]:
    """Return the definitions in the file, for a virtual host."""
    text = DEFINITIONS.read_text(encoding="utf-8").replace(f'"{VHOST}"', f'"{vhost}"')
    return dict(json.loads(text))


def documented_hash(password: str) -> str:
    """Compute a password's hash with the documented command."""
    [line] = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("python3 -c")
    ]
    # In its own session the command has no terminal to prompt on.
    done = subprocess.run(
        shlex.split(line),
        input=f"{password}\n",
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    return done.stdout.strip()


def bring_in(
    rabbit: PrivateRabbit, folder: Path, what: dict[str, Any], *, password: str | None
) -> None:
    """Import definitions as a site does, with a password; the test's peers keep all rights."""
    vhost = what["vhosts"][0]["name"]
    everything = {
        "user": rabbit.user,
        "vhost": vhost,
        "configure": ".*",
        "write": ".*",
        "read": ".*",
    }
    what["permissions"].append(everything)
    if password is not None:
        what["users"][0]["password_hash"] = documented_hash(password)
    path = folder / "definitions.json"
    path.write_text(json.dumps(what), encoding="utf-8")
    rabbit.import_definitions(path)


@pytest.fixture(scope="module")
def rabbit(rabbit_server: PrivateRabbit, tmp_path_factory: pytest.TempPathFactory) -> PrivateRabbit:
    """Return a RabbitMQ with the file's definitions and a foreign queue in the vhost."""
    bring_in(rabbit_server, tmp_path_factory.mktemp("site"), definitions(), password=PASSWORD)
    login = pika.PlainCredentials(rabbit_server.user, rabbit_server.password)
    parameters = pika.ConnectionParameters("127.0.0.1", rabbit_server.port, VHOST, login)
    with pika.BlockingConnection(parameters) as connection:
        connection.channel().queue_declare(FOREIGN, durable=True)
    return rabbit_server


@asynccontextmanager
async def opened(
    rabbit: PrivateRabbit, password: str = PASSWORD, vhost: str = VHOST
) -> AsyncIterator[AmqpConnection]:
    """Connect as the archiver, with the user of the file."""
    settings = Settings.model_validate({"BASE_BROKER_ADDR": rabbit.address_of(vhost)})
    user = definitions()["users"][0]["name"]
    credentials = Credentials.model_validate({"service_user": user, "service_passwd": password})
    link = await AmqpConnection.open(settings, credentials)
    try:
        yield link
    finally:
        await link.close()


async def test_archiver_user_can_do_everything_the_archiver_needs(rabbit: PrivateRabbit) -> None:
    got = list[Delivery]()
    async with opened(rabbit) as link:
        for queue in sorted({*SITE.queues, FORWARDER}):
            await link.declare(queue)
            await link.publish(queue, queue.encode(), message_id=queue)
        for queue in sorted(TAKEN):
            link.consume(queue, got.append)

        async def all_received() -> bool:
            return {delivery.queue for delivery in got} == TAKEN

        await eventually(all_received, "a message of each queue")
        for delivery in got:
            link.ack(delivery.tag)
        assert await link.purge(FORWARDER) == 1
        assert await link.inspect(FOREIGN) is not None, (
            "a passive declaration is allowed; the doctor uses it"
        )


def test_consumed_and_peer_queues_are_all_queues_of_a_site() -> None:
    assert SITE.queues == TAKEN | PEERS


async def test_peers_can_declare_their_queues_as_before(rabbit: PrivateRabbit) -> None:
    async with opened(rabbit) as link, on_the_wire(rabbit, VHOST) as peer:
        for queue in sorted({*SITE.queues, FORWARDER}):
            await link.declare(queue)
            peer.channel.queue_declare(queue, durable=True)
        peer.channel.exchange_declare(EXCHANGE, "direct", durable=True)


async def test_archiver_user_cannot_declare_bind_or_purge_a_foreign_queue(
    rabbit: PrivateRabbit,
) -> None:
    async with opened(rabbit) as link:
        for refused in (
            link.declare(FOREIGN),
            link.declare("quite_new"),
            link.declare(DEAD),
            link.purge(FOREIGN),
        ):
            with pytest.raises(AmqpError, match="ACCESS_REFUSED"):
                await refused


@pytest.mark.parametrize("queue", [FOREIGN, DEAD, *sorted(PEERS)])
async def test_archiver_user_cannot_consume_queues_of_others(
    rabbit: PrivateRabbit, queue: str
) -> None:
    async with opened(rabbit) as link:
        if queue in PEERS:
            await link.declare(queue)
        link.consume(queue, lambda _: pytest.fail("received a message"))
        reason = await link.closed
        assert "ACCESS_REFUSED" in reason


def test_archiver_user_cannot_publish_to_declare_or_bind_another_exchange(
    rabbit: PrivateRabbit,
) -> None:
    login = pika.PlainCredentials(definitions()["users"][0]["name"], PASSWORD)
    parameters = pika.ConnectionParameters("127.0.0.1", rabbit.port, VHOST, login)

    def publish(exchange: str, channel: BlockingChannel) -> None:
        channel.confirm_delivery()
        channel.basic_publish(exchange, FOREIGN, b"no")

    with pika.BlockingConnection(parameters) as connection:
        attempts: tuple[Callable[[BlockingChannel], object], ...] = (
            partial(publish, ""),
            partial(publish, DEAD),
            lambda channel: channel.exchange_declare("quite_new", durable=True),
            lambda channel: channel.queue_bind(FOREIGN, EXCHANGE),
            lambda channel: channel.queue_delete(FOREIGN),
            lambda channel: channel.queue_purge(DEAD),
        )
        for attempt in attempts:
            with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
                attempt(connection.channel())
            assert refused.value.reply_code == ACCESS_REFUSED


def test_definitions_without_a_password_allow_no_login(
    rabbit_server: PrivateRabbit, tmp_path: Path
) -> None:
    what = definitions("/deploy_without_password")
    what["users"][0]["name"] = "nobody_yet"
    for permission in what["permissions"]:
        permission["user"] = "nobody_yet"
    assert what["users"][0]["password_hash"] == ""
    bring_in(rabbit_server, tmp_path, what, password=None)
    for password in ("", "guest", PASSWORD):
        login = pika.PlainCredentials("nobody_yet", password)
        parameters = pika.ConnectionParameters(
            "127.0.0.1", rabbit_server.port, "/deploy_without_password", login
        )
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika.BlockingConnection(parameters)


async def test_overflow_of_a_queue_is_dead_lettered(
    rabbit_server: PrivateRabbit, tmp_path: Path
) -> None:
    vhost = "/deploy_limits"
    what = definitions(vhost)
    what["policies"][0]["definition"]["max-length"] = 1
    what["users"][0]["name"] = "ccarchiver_limits"
    for permission in what["permissions"]:
        permission["user"] = "ccarchiver_limits"
    bring_in(rabbit_server, tmp_path, what, password=PASSWORD)
    async with on_the_wire(rabbit_server, vhost) as peer:
        peer.channel.confirm_delivery()
        for queue in sorted({*SITE.queues, FORWARDER}):
            peer.channel.queue_declare(queue, durable=True)
            for body in (b"older", b"newer"):
                peer.channel.basic_publish("", queue, body, mandatory=True)

            async def is_dead_lettered(queue: str = queue) -> bool:
                method, properties, body = peer.channel.basic_get(DEAD, auto_ack=True)
                if method is None:
                    return False
                assert (body, properties.headers["x-death"][0]["queue"]) == (b"older", queue)
                return True

            await eventually(is_dead_lettered, f"the dead-lettered message of {queue}", LIMIT_S)
            assert peer.channel.basic_get(queue, auto_ack=True)[2] == b"newer"


def test_policies_apply_only_to_queues_of_the_archiver_user() -> None:
    what = definitions()
    ours, dead = (re.compile(policy["pattern"]) for policy in what["policies"])
    for queue in {*SITE.queues, FORWARDER}:
        assert ours.search(queue)
        assert not dead.search(queue)
    for other in (FOREIGN, f"my_{FORWARDER}", f"{FORWARDER}_2", EXCHANGE, "ccarchiver_dead"):
        assert not ours.search(other)
        assert not dead.search(other)
    assert [queue["arguments"] for queue in what["queues"]] == [{}]
    assert all(policy["apply-to"] == "queues" for policy in what["policies"])
