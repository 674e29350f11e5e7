"""The definitions for a site's RabbitMQ: the archiver can do its work with that user, and nothing else."""

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

from ccarchiver_bridge.amqp.connection import EXCHANGE, AmqpConnection, Delivery
from ccarchiver_bridge.amqp.errors import AmqpError
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
FOREIGN = "somebody_elses"
DEAD = "ccarchiver.dead"
ACCESS_REFUSED = 403
"""By the protocol."""
TAKEN = {
    SITE.forwarder_publish_queue,
    SITE.archive_ctrl_publish_queue,
    SITE.telemetry_queue,
    SITE.queue_from_oods,
}
"""What the archiver consumes."""
PEERS = {SITE.archive_ctrl_consume_queue, SITE.queue_to_oods}
"""What it declares for peers, and has no business to read."""
PASSWORD = secrets.token_urlsafe()


def definitions(vhost: str = VHOST) -> dict[str, Any]:
    """Give what the file has, for a virtual host."""
    text = DEFINITIONS.read_text(encoding="utf-8").replace(f'"{VHOST}"', f'"{vhost}"')
    return dict(json.loads(text))


def documented_hash(password: str) -> str:
    """Make a password's hash by the command that the page gives."""
    [line] = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("python3 -c")]
    # In a session of its own there is no terminal to ask at.
    done = subprocess.run(
        shlex.split(line), input=f"{password}\n", capture_output=True, text=True, check=True, start_new_session=True
    )
    return done.stdout.strip()


def bring_in(rabbit: PrivateRabbit, folder: Path, what: dict[str, Any], *, password: str | None) -> None:
    """Import definitions as a site would, with a password; the test's own peers keep a user who may do everything."""
    vhost = what["vhosts"][0]["name"]
    everything = {"user": rabbit.user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
    what["permissions"].append(everything)
    if password is not None:
        what["users"][0]["password_hash"] = documented_hash(password)
    path = folder / "definitions.json"
    path.write_text(json.dumps(what), encoding="utf-8")
    rabbit.import_definitions(path)


@pytest.fixture(scope="module")
def rabbit(rabbit_server: PrivateRabbit, tmp_path_factory: pytest.TempPathFactory) -> PrivateRabbit:
    """A RabbitMQ that has the file's definitions, and a queue of somebody else in the same virtual host."""
    bring_in(rabbit_server, tmp_path_factory.mktemp("site"), definitions(), password=PASSWORD)
    login = pika.PlainCredentials(rabbit_server.user, rabbit_server.password)
    parameters = pika.ConnectionParameters("127.0.0.1", rabbit_server.port, VHOST, login)
    with pika.BlockingConnection(parameters) as connection:
        connection.channel().queue_declare(FOREIGN, durable=True)
    return rabbit_server


@asynccontextmanager
async def opened(rabbit: PrivateRabbit, password: str = PASSWORD, vhost: str = VHOST) -> AsyncIterator[AmqpConnection]:
    """Be the archiver with the user of the file."""
    settings = Settings.model_validate({"BASE_BROKER_ADDR": rabbit.address_of(vhost)})
    user = definitions()["users"][0]["name"]
    credentials = Credentials.model_validate({"service_user": user, "service_passwd": password})
    link = await AmqpConnection.open(settings, credentials)
    try:
        yield link
    finally:
        await link.close()


async def test_the_archiver_can_do_all_it_does(rabbit: PrivateRabbit) -> None:
    got = list[Delivery]()
    async with opened(rabbit) as link:
        for queue in sorted({*SITE.queues, FORWARDER}):
            await link.declare(queue)
            await link.publish(queue, queue.encode(), message_id=queue)
        for queue in sorted(TAKEN):
            link.consume(queue, got.append)

        async def all_came() -> bool:
            return {delivery.queue for delivery in got} == TAKEN

        await eventually(all_came, "a message of each queue")
        for delivery in got:
            link.ack(delivery.tag)
        assert await link.purge(FORWARDER) == 1
        assert await link.inspect(FOREIGN) is not None, "to look is free, and the doctor looks"


def test_these_are_all_queues_of_a_site() -> None:
    assert SITE.queues == TAKEN | PEERS


async def test_peers_that_declare_as_always_are_not_refused(rabbit: PrivateRabbit) -> None:
    async with opened(rabbit) as link, on_the_wire(rabbit, VHOST) as peer:
        for queue in sorted({*SITE.queues, FORWARDER}):
            await link.declare(queue)
            peer.channel.queue_declare(queue, durable=True)
        peer.channel.exchange_declare(EXCHANGE, "direct", durable=True)


async def test_a_foreign_queue_cannot_be_declared_bound_or_emptied(rabbit: PrivateRabbit) -> None:
    async with opened(rabbit) as link:
        for refused in (link.declare(FOREIGN), link.declare("quite_new"), link.declare(DEAD), link.purge(FOREIGN)):
            with pytest.raises(AmqpError, match="ACCESS_REFUSED"):
                await refused


@pytest.mark.parametrize("queue", [FOREIGN, DEAD, *sorted(PEERS)])
async def test_what_others_take_from_cannot_be_consumed(rabbit: PrivateRabbit, queue: str) -> None:
    async with opened(rabbit) as link:
        if queue in PEERS:
            await link.declare(queue)
        link.consume(queue, lambda _: pytest.fail("it was given a message"))
        reason = await link.closed
        assert "ACCESS_REFUSED" in reason


def test_no_other_exchange_can_be_published_to_declared_or_bound(rabbit: PrivateRabbit) -> None:
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


def test_the_file_as_it_is_lets_nobody_in(rabbit_server: PrivateRabbit, tmp_path: Path) -> None:
    what = definitions("/deploy_without_password")
    what["users"][0]["name"] = "nobody_yet"
    for permission in what["permissions"]:
        permission["user"] = "nobody_yet"
    assert what["users"][0]["password_hash"] == ""
    bring_in(rabbit_server, tmp_path, what, password=None)
    for password in ("", "guest", PASSWORD):
        login = pika.PlainCredentials("nobody_yet", password)
        parameters = pika.ConnectionParameters("127.0.0.1", rabbit_server.port, "/deploy_without_password", login)
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika.BlockingConnection(parameters)


async def test_what_is_too_much_for_a_queue_is_put_aside(rabbit_server: PrivateRabbit, tmp_path: Path) -> None:
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

            async def put_aside(queue: str = queue) -> bool:
                method, properties, body = peer.channel.basic_get(DEAD, auto_ack=True)
                if method is None:
                    return False
                assert (body, properties.headers["x-death"][0]["queue"]) == (b"older", queue)
                return True

            await eventually(put_aside, f"the older message of {queue}", LIMIT_S)
            assert peer.channel.basic_get(queue, auto_ack=True)[2] == b"newer"


def test_policies_are_for_the_queues_the_user_has_and_none_else() -> None:
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
