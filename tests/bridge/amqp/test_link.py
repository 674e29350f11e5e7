"""One connection to a real RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
from ccarchiver_bridge.amqp.errors import AmqpError, UnroutableError
from ccarchiver_core.config.credentials import Credentials
from ccarchiver_core.config.settings import Settings
from ccarchiver_sim.pace import scaled, within
from ccarchiver_sim.testbed.brokers import PrivateRabbit
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.bridge.peer import credentials_of, on_the_wire
from tests.core.redis_helpers import LIMIT_S, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = "correct-horse-battery"  # noqa: S105  it opens nothing


def address(rabbit: PrivateRabbit, vhost: str, **changes: object) -> Settings:
    return Settings.model_validate({"BASE_BROKER_ADDR": rabbit.address_of(vhost), **changes})


@asynccontextmanager
async def opened(rabbit: PrivateRabbit, vhost: str, **changes: object) -> AsyncIterator[AmqpConnection]:
    link = await AmqpConnection.open(address(rabbit, vhost, **changes), credentials_of(rabbit))
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Give the port of a server that takes connections and says nothing."""

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):  # whoever gave up may have reset it
            await writer.wait_closed()

    ended = asyncio.Event()
    server = await asyncio.start_server(say_nothing, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


async def test_a_declared_queue_is_durable_bound_by_its_name_and_open_to_both_ways_of_publishing(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link, on_the_wire(rabbit_server, fresh_vhost) as peer:
        assert (await link.declare("q")).messages == 0

        peer.channel.confirm_delivery()
        peer.channel.queue_declare("q", durable=True)  # other arguments would be refused
        peer.channel.basic_publish("message", "q", b"as Python peers do", mandatory=True)
        peer.channel.basic_publish("", "q", b"as the Forwarder does", mandatory=True)

        state = await link.declare("q")
        assert (state.messages, state.consumers) == (2, 0)
        assert await link.inspect("q") == state


async def test_of_several_brokers_the_first_that_answers_is_taken(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with silent_server() as hung:
        vhost = rabbit_server.address_of(fresh_vhost).partition("/")[2]
        nodes = [f"{LOOPBACK}:{port}/{vhost}" for port in (free_port(), hung, rabbit_server.port)]
        settings = Settings.model_validate({"BASE_BROKER_ADDR": nodes, "CONNECT_TIMEOUT": scaled(3)})
        link = await AmqpConnection.open(settings, credentials_of(rabbit_server))
        try:
            assert f":{rabbit_server.port} " in link.broker
        finally:
            await link.close()

        none = Settings.model_validate({"BASE_BROKER_ADDR": nodes[:2], "CONNECT_TIMEOUT": scaled(1)})
        with pytest.raises(AmqpError) as caught:
            await AmqpConnection.open(none, credentials_of(rabbit_server))
        assert all(node.partition("/")[0] in str(caught.value) for node in nodes[:2])


async def test_a_message_is_published_persistent_with_its_id_and_confirmed(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link, on_the_wire(rabbit_server, fresh_vhost) as peer:
        await link.declare("q")

        await link.publish("q", b"body", message_id="ack_1")

        method, properties, body = peer.channel.basic_get("q", auto_ack=True)
        assert method is not None, "confirmed means that it is there"
        assert (method.exchange, method.routing_key, body) == ("message", "q", b"body")
        assert (properties.delivery_mode, properties.message_id, properties.expiration) == (2, "ack_1", None)


async def test_it_shows_since_when_it_is_open_and_the_last_confirmation(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link:
        await link.declare("q")
        before = link.stats

        await link.publish("q", b"body", message_id="m")

        assert before.since > 0
        assert (before.published_at, before.publish_s) == (0.0, 0.0)
        assert link.stats.since == before.since
        assert link.stats.published_at >= before.since
        assert link.stats.publish_s > 0


async def test_a_message_nobody_needs_later_expires(rabbit_server: PrivateRabbit, fresh_vhost: str) -> None:
    async with opened(rabbit_server, fresh_vhost) as link, on_the_wire(rabbit_server, fresh_vhost) as peer:
        await link.declare("q")
        await link.publish("q", b"body", message_id="m", expire_s=0.1)

        await peer.until(lambda: peer.messages_in("q") == 0, "the expiry")


async def test_a_message_to_a_queue_that_is_not_there_is_an_error_and_the_link_lives_on(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link:
        with pytest.raises(UnroutableError, match="no queue gone is bound"):
            await link.publish("gone", b"body", message_id="m")

        await link.declare("gone")
        await link.publish("gone", b"body", message_id="m")
        state = await link.inspect("gone")
        assert state is not None
        assert state.messages == 1


async def test_many_messages_at_once_are_each_confirmed_and_kept_in_order(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link, on_the_wire(rabbit_server, fresh_vhost) as peer:
        await link.declare("q")

        await asyncio.gather(*(link.publish("q", b"%d" % i, message_id=str(i)) for i in range(300)))

        bodies = [peer.channel.basic_get("q", auto_ack=True)[2] for _ in range(300)]
        assert bodies == [b"%d" % i for i in range(300)]


async def test_among_many_messages_only_the_unroutable_one_is_an_error(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link:
        await link.declare("q")
        names = ["q"] * 10 + ["gone"] + ["q"] * 10

        done = await asyncio.gather(
            *(link.publish(name, b"x", message_id=f"m{i}") for i, name in enumerate(names)), return_exceptions=True
        )

        assert [type(outcome) for outcome in done] == [
            UnroutableError if name == "gone" else type(None) for name in names
        ]


async def test_a_queue_with_other_arguments_is_refused_and_the_link_lives_on(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link, on_the_wire(rabbit_server, fresh_vhost) as peer:
        peer.channel.queue_declare("q", durable=True, arguments={"x-max-length": 5})

        with pytest.raises(AmqpError, match="PRECONDITION_FAILED"):
            await link.declare("q")

        assert not link.closed.done()
        await link.declare("another")


async def test_a_queue_that_is_not_there_is_seen_as_none_and_purging_empties_one_that_is(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link:
        assert await link.inspect("q") is None
        await link.declare("q")
        for number in range(3):
            await link.publish("q", b"x", message_id=str(number))

        assert await link.purge("q") == 3
        state = await link.inspect("q")
        assert state is not None
        assert state.messages == 0


async def test_what_is_not_acknowledged_comes_again_on_the_next_link(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    first, second = list[Delivery](), list[Delivery]()
    async with opened(rabbit_server, fresh_vhost) as link:
        await link.declare("q")
        for body in (b"kept", b"done"):
            await link.publish("q", body, message_id=body.decode())
        link.consume("q", first.append)

        async def both() -> bool:
            return len(first) == 2

        await eventually(both, "both deliveries")
        assert [delivery.body for delivery in first] == [b"kept", b"done"]
        link.ack(first[1].tag)

    async with opened(rabbit_server, fresh_vhost) as link:
        link.consume("q", second.append)

        async def one() -> bool:
            return len(second) >= 1

        await eventually(one, "the redelivery")
        assert [delivery.body for delivery in second] == [b"kept"]


async def test_a_consumer_shows_in_the_state_of_its_queue(rabbit_server: PrivateRabbit, fresh_vhost: str) -> None:
    async with opened(rabbit_server, fresh_vhost) as link, on_the_wire(rabbit_server, fresh_vhost, "q"):
        state = await link.inspect("q")
        assert state is not None
        assert state.consumers == 1


@pytest.mark.parametrize("user", ["archiver", "nobody"])
async def test_refused_credentials_are_reported_without_the_password(
    rabbit_server: PrivateRabbit, fresh_vhost: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Credentials.model_validate({"service_user": user, "service_passwd": SECRET})

    with pytest.raises(AmqpError) as caught:
        await AmqpConnection.open(address(rabbit_server, fresh_vhost), wrong)

    text = "".join(traceback.format_exception(caught.value))
    assert f"127.0.0.1:{rabbit_server.port} (vhost {fresh_vhost})" in str(caught.value)
    assert "ACCESS_REFUSED" in str(caught.value)
    assert SECRET not in text
    assert SECRET not in caplog.text


async def test_a_vhost_that_is_not_there_is_named(rabbit_server: PrivateRabbit) -> None:
    with pytest.raises(AmqpError, match=r"vhost /nowhere.*not found"):
        await AmqpConnection.open(address(rabbit_server, "/nowhere"), credentials_of(rabbit_server))


async def test_nobody_at_the_address_is_reported_with_the_address(rabbit_server: PrivateRabbit) -> None:
    port = free_port()
    settings = Settings.model_validate({"BASE_BROKER_ADDR": f"127.0.0.1:{port}/%2fx"})

    with pytest.raises(AmqpError, match=rf"127\.0\.0\.1:{port}.*refused"):
        await AmqpConnection.open(settings, credentials_of(rabbit_server))


async def test_a_silent_server_is_given_up_after_the_limit(rabbit_server: PrivateRabbit) -> None:
    async with silent_server() as port:
        settings = Settings.model_validate({"BASE_BROKER_ADDR": f"127.0.0.1:{port}/%2fx", "CONNECT_TIMEOUT": 0.3})
        async with within(LIMIT_S):
            with pytest.raises(AmqpError, match=r"127\.0\.0\.1"):
                await AmqpConnection.open(settings, credentials_of(rabbit_server))


async def test_a_closed_link_publishes_nothing_and_closes_again_without_harm(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as link:
        await link.close()
        assert link.closed.done()

        with pytest.raises(AmqpError):
            await link.publish("q", b"x", message_id="m")
        with pytest.raises(AmqpError):
            await link.declare("q")
        link.ack(1)


@pytest.mark.processes
async def test_a_broker_that_hangs_or_stops_ends_the_link_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    with PrivateRabbit(tmp_path / "rabbit") as rabbit:
        vhost = rabbit.vhosts[0]
        async with (
            opened(rabbit, vhost, PUBLISH_TIMEOUT=scaled(0.3)) as hung,
            opened(rabbit, vhost) as stopped,
        ):
            await hung.declare("q")
            await stopped.declare("q")
            rabbit.freeze()
            async with within(LIMIT_S):
                with pytest.raises(AmqpError, match="confirm"):
                    await hung.publish("q", b"x", message_id="m")
                await hung.closed
            rabbit.thaw()

            await asyncio.to_thread(rabbit.stop)
            async with within(LIMIT_S):
                assert await stopped.closed
                with pytest.raises(AmqpError):
                    await stopped.publish("q", b"x", message_id="m")
