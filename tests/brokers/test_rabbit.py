from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pika
import psutil
import pytest

from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.brokers import PrivateRabbit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.brokers import VhostPool

LIMIT_S = 30.0
"""Takes effect only if something is broken."""


pytestmark = pytest.mark.processes


def connect(server: PrivateRabbit, vhost: str) -> pika.BlockingConnection:
    credentials = pika.PlainCredentials(server.user, server.password)
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", server.port, vhost, credentials)
    )


def test_queues_are_separate_for_each_vhost(
    rabbit_server: PrivateRabbit, vhosts: VhostPool
) -> None:
    first, second = vhosts.take(), vhosts.take()
    with connect(rabbit_server, first) as connection:
        connection.channel().queue_declare("only_here", durable=True)
    with (
        connect(rabbit_server, second) as connection,
        pytest.raises(pika.exceptions.ChannelClosedByBroker),
    ):
        connection.channel().queue_declare("only_here", passive=True)


def test_vhosts_can_be_added_to_a_running_rabbitmq(rabbit_server: PrivateRabbit) -> None:
    # The pool is not used here: it hands out virtual hosts in creation order.
    rabbit_server.add_vhosts("/added")
    try:
        with connect(rabbit_server, "/added") as connection:
            assert connection.is_open
    finally:
        rabbit_server.vhosts = tuple(name for name in rabbit_server.vhosts if name != "/added")


def test_address_of_returns_the_form_that_a_site_file_uses(rabbit_server: PrivateRabbit) -> None:
    assert rabbit_server.address_of("/test_cc") == f"127.0.0.1:{rabbit_server.port}/%2ftest_cc"


def test_login_with_a_wrong_password_is_refused(rabbit_server: PrivateRabbit) -> None:
    credentials = pika.PlainCredentials(rabbit_server.user, "guess")
    parameters = pika.ConnectionParameters(
        "127.0.0.1", rabbit_server.port, rabbit_server.vhosts[0], credentials
    )
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


def test_password_is_not_in_any_process_command_line(rabbit_server: PrivateRabbit) -> None:
    server = psutil.Process(rabbit_server.pid)
    lines = [" ".join(process.cmdline()) for process in (server, *server.children(recursive=True))]
    assert lines
    assert not any(rabbit_server.password in line for line in lines)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    with PrivateRabbit(tmp_path_factory.mktemp("own rabbit")) as server:
        yield server


def test_confirmed_persistent_message_survives_a_broker_crash(own_server: PrivateRabbit) -> None:
    with connect(own_server, "/test_cc") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish(
            "", "kept", b"body", pika.BasicProperties(delivery_mode=2), mandatory=True
        )
    # A declaration reaches the disk a moment after it is confirmed, unlike a persistent message.
    own_server.control("eval", "mnesia:sync_log().")
    pid = own_server.pid
    own_server.kill()
    own_server.start()
    assert own_server.pid != pid
    body, refusal, deadline = None, None, Deadline(LIMIT_S)
    while (
        body is None and not deadline.has_passed()
    ):  # a queue may recover a moment after the broker answers
        try:
            with connect(own_server, "/test_cc") as connection:
                body = connection.channel().basic_get("kept", auto_ack=True)[2]
        except pika.exceptions.AMQPError as error:
            refusal = error
    assert body == b"body", refusal


def test_stop_ends_the_port_mapper_and_rabbitmq_writes_only_to_its_folder(
    own_server: PrivateRabbit,
) -> None:
    mapper = own_server._mapper
    assert mapper is not None
    assert mapper.is_running
    # Only files opened for writing: Erlang loads its code from system folders on first use.
    written = {
        opened.path for opened in psutil.Process(own_server.pid).open_files() if opened.mode != "r"
    }
    assert written
    assert all(Path(name).is_relative_to(own_server.folder) for name in written), written
    own_server.stop()
    assert not own_server.is_running
    assert not mapper.is_running
