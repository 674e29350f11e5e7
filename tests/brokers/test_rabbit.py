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
"""It costs only when something is broken."""


pytestmark = pytest.mark.processes


def connect(server: PrivateRabbit, vhost: str) -> pika.BlockingConnection:
    credentials = pika.PlainCredentials(server.user, server.password)
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", server.port, vhost, credentials))


def test_vhosts_do_not_see_each_others_queues(rabbit_server: PrivateRabbit, vhosts: VhostPool) -> None:
    first, second = vhosts.take(), vhosts.take()
    with connect(rabbit_server, first) as connection:
        connection.channel().queue_declare("only_here", durable=True)
    with connect(rabbit_server, second) as connection, pytest.raises(pika.exceptions.ChannelClosedByBroker):
        connection.channel().queue_declare("only_here", passive=True)


def test_vhosts_can_be_added_while_it_runs(rabbit_server: PrivateRabbit) -> None:
    # Not through the pool, which hands them out in the order of their making.
    rabbit_server.add_vhosts("/added")
    try:
        with connect(rabbit_server, "/added") as connection:
            assert connection.is_open
    finally:
        rabbit_server.vhosts = tuple(name for name in rabbit_server.vhosts if name != "/added")


def test_the_address_is_the_one_of_a_site_file(rabbit_server: PrivateRabbit) -> None:
    assert rabbit_server.address_of("/test_cc") == f"127.0.0.1:{rabbit_server.port}/%2ftest_cc"


def test_another_password_is_refused(rabbit_server: PrivateRabbit) -> None:
    credentials = pika.PlainCredentials(rabbit_server.user, "guess")
    parameters = pika.ConnectionParameters("127.0.0.1", rabbit_server.port, rabbit_server.vhosts[0], credentials)
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


def test_the_password_is_on_no_command_line(rabbit_server: PrivateRabbit) -> None:
    server = psutil.Process(rabbit_server.pid)
    lines = [" ".join(process.cmdline()) for process in (server, *server.children(recursive=True))]
    assert lines
    assert not any(rabbit_server.password in line for line in lines)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    with PrivateRabbit(tmp_path_factory.mktemp("own rabbit")) as server:
        yield server


def test_a_confirmed_persistent_message_outlives_a_crash(own_server: PrivateRabbit) -> None:
    with connect(own_server, "/test_cc") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"body", pika.BasicProperties(delivery_mode=2), mandatory=True)
    pid = own_server.pid
    own_server.kill()
    own_server.start()
    assert own_server.pid != pid
    body, refusal, deadline = None, None, Deadline(LIMIT_S)
    while body is None and not deadline.has_passed():  # a queue may recover a moment after the broker answers
        try:
            with connect(own_server, "/test_cc") as connection:
                body = connection.channel().basic_get("kept", auto_ack=True)[2]
        except pika.exceptions.AMQPError as error:
            refusal = error
    assert body == b"body", refusal


def test_stop_ends_the_port_mapper_too_and_writes_nothing_elsewhere(own_server: PrivateRabbit) -> None:
    mapper = own_server._mapper
    assert mapper is not None
    assert mapper.is_running
    # Written only: Erlang loads its code from the system's folders whenever a module is first used.
    written = {opened.path for opened in psutil.Process(own_server.pid).open_files() if opened.mode != "r"}
    assert written
    assert all(Path(name).is_relative_to(own_server.folder) for name in written), written
    own_server.stop()
    assert not own_server.is_running
    assert not mapper.is_running
