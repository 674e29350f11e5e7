"""One connection of the bridge to a real RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
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

SECRET = "correct-horse-battery"  # noqa: S105  no real password


def address(rabbit: PrivateRabbit, vhost: str, **changes: object) -> Settings:
    return Settings.model_validate({"BASE_BROKER_ADDR": rabbit.address_of(vhost), **changes})


@asynccontextmanager
async def opened(
    rabbit: PrivateRabbit, vhost: str, **changes: object
) -> AsyncIterator[AmqpConnection]:
    connection = await AmqpConnection.open(
        address(rabbit, vhost, **changes), credentials_of(rabbit)
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Yield the port of a server that accepts connections and never answers."""

    async def never_answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):  # the client may have reset the connection
            await writer.wait_closed()

    ended = asyncio.Event()
    server = await asyncio.start_server(never_answer, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


async def test_declared_queue_is_durable_and_bound_under_its_name(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with (
        opened(rabbit_server, fresh_vhost) as connection,
        on_the_wire(rabbit_server, fresh_vhost) as peer,
    ):
        assert (await connection.declare("q")).messages == 0

        peer.channel.confirm_delivery()
        peer.channel.queue_declare("q", durable=True)  # other arguments would be rejected
        peer.channel.basic_publish("message", "q", b"as Python peers do", mandatory=True)
        peer.channel.basic_publish("", "q", b"as the Forwarder does", mandatory=True)

        state = await connection.declare("q")
        assert (state.messages, state.consumers) == (2, 0)
        assert await connection.inspect("q") == state


async def test_open_connects_to_the_first_broker_that_answers(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with silent_server() as hung:
        vhost = rabbit_server.address_of(fresh_vhost).partition("/")[2]
        nodes = [f"{LOOPBACK}:{port}/{vhost}" for port in (free_port(), hung, rabbit_server.port)]
        settings = Settings.model_validate(
            {"BASE_BROKER_ADDR": nodes, "CONNECT_TIMEOUT": scaled(3)}
        )
        connection = await AmqpConnection.open(settings, credentials_of(rabbit_server))
        try:
            assert f":{rabbit_server.port} " in connection.broker
        finally:
            await connection.close()

        none = Settings.model_validate(
            {"BASE_BROKER_ADDR": nodes[:2], "CONNECT_TIMEOUT": scaled(1)}
        )
        with pytest.raises(AmqpError) as caught:
            await AmqpConnection.open(none, credentials_of(rabbit_server))
        assert all(node.partition("/")[0] in str(caught.value) for node in nodes[:2])


async def test_cancelled_open_leaves_no_connection(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    def connected() -> list[object]:
        """Return the connections of this process to RabbitMQ."""
        return [
            connection.laddr
            for connection in psutil.Process().net_connections("tcp")
            if getattr(connection.raddr, "port", None) == rabbit_server.port  # none: a listener
        ]

    async def none_is_left() -> bool:
        return set(connected()) <= before

    before, steps = set(connected()), 0
    while True:  # cancel it one step of the event loop later each time, until it is quicker
        steps += 1
        opening = asyncio.create_task(
            AmqpConnection.open(address(rabbit_server, fresh_vhost), credentials_of(rabbit_server))
        )
        for _ in range(steps):
            await asyncio.sleep(0)
            if set(connected()) > before:
                await asyncio.sleep(0.001)  # RabbitMQ answers
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()
            break
        await eventually(none_is_left, f"the end of an opening cancelled after {steps} steps")
    assert steps > 2, "it was never cancelled while it waited for RabbitMQ"


async def test_published_message_is_persistent_confirmed_and_has_its_id(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with (
        opened(rabbit_server, fresh_vhost) as connection,
        on_the_wire(rabbit_server, fresh_vhost) as peer,
    ):
        await connection.declare("q")

        await connection.publish("q", b"body", message_id="ack_1")

        method, properties, body = peer.channel.basic_get("q", auto_ack=True)
        assert method is not None, "a confirmed message is in the queue"
        assert (method.exchange, method.routing_key, body) == ("message", "q", b"body")
        assert (properties.delivery_mode, properties.message_id, properties.expiration) == (
            2,
            "ack_1",
            None,
        )


async def test_stats_contain_the_open_time_and_the_last_confirmation(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as connection:
        await connection.declare("q")
        before = connection.stats

        await connection.publish("q", b"body", message_id="m")

        assert before.since > 0
        assert (before.published_at, before.publish_s) == (0.0, 0.0)
        assert connection.stats.since == before.since
        assert connection.stats.published_at >= before.since
        assert connection.stats.publish_s > 0


async def test_message_with_an_expiry_is_removed_from_the_queue(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with (
        opened(rabbit_server, fresh_vhost) as connection,
        on_the_wire(rabbit_server, fresh_vhost) as peer,
    ):
        await connection.declare("q")
        await connection.publish("q", b"body", message_id="m", expire_s=0.1)

        await peer.wait_until(lambda: peer.messages_in("q") == 0, "the expiry")


async def test_publish_to_a_missing_queue_fails_and_the_connection_stays_open(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as connection:
        with pytest.raises(UnroutableError, match="no queue gone is bound"):
            await connection.publish("gone", b"body", message_id="m")

        await connection.declare("gone")
        await connection.publish("gone", b"body", message_id="m")
        state = await connection.inspect("gone")
        assert state is not None
        assert state.messages == 1


async def test_concurrent_messages_are_all_confirmed_and_kept_in_order(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with (
        opened(rabbit_server, fresh_vhost) as connection,
        on_the_wire(rabbit_server, fresh_vhost) as peer,
    ):
        await connection.declare("q")

        await asyncio.gather(
            *(connection.publish("q", b"%d" % i, message_id=str(i)) for i in range(300))
        )

        bodies = [peer.channel.basic_get("q", auto_ack=True)[2] for _ in range(300)]
        assert bodies == [b"%d" % i for i in range(300)]


async def test_only_the_unroutable_one_of_many_messages_fails(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as connection:
        await connection.declare("q")
        names = ["q"] * 10 + ["gone"] + ["q"] * 10

        done = await asyncio.gather(
            *(connection.publish(name, b"x", message_id=f"m{i}") for i, name in enumerate(names)),
            return_exceptions=True,
        )

        assert [type(outcome) for outcome in done] == [
            UnroutableError if name == "gone" else type(None) for name in names
        ]


async def test_declare_with_other_arguments_fails_and_the_connection_stays_open(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with (
        opened(rabbit_server, fresh_vhost) as connection,
        on_the_wire(rabbit_server, fresh_vhost) as peer,
    ):
        peer.channel.queue_declare("q", durable=True, arguments={"x-max-length": 5})

        with pytest.raises(AmqpError, match="PRECONDITION_FAILED"):
            await connection.declare("q")

        assert not connection.closed.done()
        await connection.declare("another")


async def test_checks_of_a_queue_share_a_channel_until_rabbitmq_closes_it(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as connection:
        await connection.declare("q")
        channel = connection._admin_open
        for _ in range(3):
            assert await connection.inspect("q") is not None
            assert connection._admin_open is channel
        assert await connection.inspect("missing") is None
        assert await connection.inspect("q") is not None
        assert connection._admin_open is not channel


async def test_inspect_returns_none_for_a_missing_queue_and_purge_empties_a_queue(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as connection:
        assert await connection.inspect("q") is None
        await connection.declare("q")
        for number in range(3):
            await connection.publish("q", b"x", message_id=str(number))

        assert await connection.purge("q") == 3
        state = await connection.inspect("q")
        assert state is not None
        assert state.messages == 0


async def test_unacknowledged_delivery_is_redelivered_on_the_next_connection(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    first, second = list[Delivery](), list[Delivery]()
    async with opened(rabbit_server, fresh_vhost) as connection:
        await connection.declare("q")
        for body in (b"kept", b"done"):
            await connection.publish("q", body, message_id=body.decode())
        connection.consume("q", first.append)

        async def both() -> bool:
            return len(first) == 2

        await eventually(both, "both deliveries")
        assert [delivery.body for delivery in first] == [b"kept", b"done"]
        connection.ack(first[1].tag)

    async with opened(rabbit_server, fresh_vhost) as connection:
        connection.consume("q", second.append)

        async def one() -> bool:
            return len(second) >= 1

        await eventually(one, "the redelivery")
        assert [delivery.body for delivery in second] == [b"kept"]


async def test_inspect_counts_the_consumers_of_a_queue(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with (
        opened(rabbit_server, fresh_vhost) as connection,
        on_the_wire(rabbit_server, fresh_vhost, "q"),
    ):
        state = await connection.inspect("q")
        assert state is not None
        assert state.consumers == 1


@pytest.mark.parametrize("user", ["archiver", "unknown"])
async def test_rejected_credentials_are_reported_without_the_password(
    rabbit_server: PrivateRabbit, fresh_vhost: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Credentials.model_validate({"service_user": user, "service_passwd": SECRET})

    with pytest.raises(AmqpError) as caught:
        await AmqpConnection.open(address(rabbit_server, fresh_vhost), wrong)

    text = "".join(traceback.format_exception(caught.value))
    assert f"127.0.0.1:{rabbit_server.port} (vhost {fresh_vhost})" in str(caught.value)
    assert "rejects the user or the password" in str(caught.value)
    assert SECRET not in text
    assert SECRET not in caplog.text


async def test_missing_vhost_is_named_in_the_error(rabbit_server: PrivateRabbit) -> None:
    with pytest.raises(AmqpError, match=r"vhost /nowhere.*not found"):
        await AmqpConnection.open(address(rabbit_server, "/nowhere"), credentials_of(rabbit_server))


async def test_refused_connection_is_reported_with_its_address(
    rabbit_server: PrivateRabbit,
) -> None:
    port = free_port()
    settings = Settings.model_validate({"BASE_BROKER_ADDR": f"127.0.0.1:{port}/%2fx"})

    with pytest.raises(AmqpError, match=rf"127\.0\.0\.1:{port}.*refused"):
        await AmqpConnection.open(settings, credentials_of(rabbit_server))


async def test_open_to_a_silent_server_fails_after_connect_timeout(
    rabbit_server: PrivateRabbit,
) -> None:
    async with silent_server() as port:
        settings = Settings.model_validate(
            {"BASE_BROKER_ADDR": f"127.0.0.1:{port}/%2fx", "CONNECT_TIMEOUT": 0.3}
        )
        async with within(LIMIT_S):
            with pytest.raises(AmqpError, match=r"127\.0\.0\.1"):
                await AmqpConnection.open(settings, credentials_of(rabbit_server))


async def test_closed_connection_publishes_nothing_and_can_be_closed_again(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with opened(rabbit_server, fresh_vhost) as connection:
        await connection.close()
        assert connection.closed.done()

        with pytest.raises(AmqpError):
            await connection.publish("q", b"x", message_id="m")
        with pytest.raises(AmqpError):
            await connection.declare("q")
        connection.ack(1)


@pytest.mark.processes
async def test_hung_or_stopped_broker_closes_the_connection_and_fails_its_calls(
    tmp_path: Path,
) -> None:
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


async def test_queue_that_another_connection_owns_does_not_count_as_missing(
    rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with (
        opened(rabbit_server, fresh_vhost) as connection,
        on_the_wire(rabbit_server, fresh_vhost) as other,
    ):
        assert await connection.inspect("q") is None
        other.channel.queue_declare("q", exclusive=True)

        with pytest.raises(AmqpError, match="RESOURCE_LOCKED"):
            await connection.inspect("q")
