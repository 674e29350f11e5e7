"""The test's side of the wire: it starts peers and plays the archiver with literal messages."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import pika
import redis
import yaml

from ccarchiver_core.config.credentials import load_credentials
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.child_process import ChildProcess, base_environment
from tests.support.forked import ForkedChild

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LIMIT_S = 20.0
"""Limit for anything that takes well under a second on an idle machine."""

POLL_S = 0.02

PERSISTENT = 2

QUEUES = (
    "archive_ctrl_consume",
    "archive_ctrl_publish",
    "cc_foreman_ack_publish",
    "f99_consume",
    "telemetry_queue",
    "cc_publish_to_oods",
    "oods_publish_to_cc",
)

T = TypeVar("T")

Body = dict[str, object]


def wait_for(what: str, condition: Callable[[], T | None], limit: float = LIMIT_S) -> T:
    deadline = Deadline(limit)
    while not deadline.has_passed():
        value = condition()
        if value is not None and value is not False:
            return value
        time.sleep(POLL_S)
    raise AssertionError(f"no {what} within {limit:g} s")


@dataclass(frozen=True)
class SiteFolder:
    config_dir: Path
    credential_dir: Path

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.config_dir / "ccarchiver_config.yaml")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "IIP_CONFIG_DIR": str(self.config_dir),
            "IIP_CREDENTIAL_DIR": str(self.credential_dir),
        }


class Peer:
    """A peer process and its output."""

    def __init__(self, process: ChildProcess) -> None:
        self.process = process

    @property
    def log(self) -> str:
        return self.process.log_path.read_text(encoding="utf-8")

    @property
    def events(self) -> list[Body]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def wait_event(self, event: str, limit: float = LIMIT_S) -> Body:
        def find() -> Body | None:
            self.process.require_running()
            return next((line for line in self.events if line["event"] == event), None)

        return wait_for(f"{event} from {self.process.name}", find, limit)

    def wait_logged(self, text: str, limit: float = LIMIT_S) -> None:
        wait_for(
            f"{text!r} in the log of {self.process.name}", lambda: text in self.log or None, limit
        )

    def stop(self) -> int | None:
        self.process.stop(LIMIT_S)
        return self.process.exit_code


class Peers:
    """Starts peers and stops them all.

    Parameters
    ----------
    environment
        Variables for the peers in addition to the common environment.
    logs
        Folder for their logs and temporary files.
    as_programs
        Whether each is started as a program with its own interpreter instead of forked.
    """

    def __init__(
        self, environment: dict[str, str], logs: Path, *, as_programs: bool = False
    ) -> None:
        # Killed peers leave temporary files: they go below this folder, which pytest clears.
        self._environment = base_environment() | environment | {"TMPDIR": str(logs)}
        self._logs = logs
        logs.mkdir(exist_ok=True)
        self._as_programs = as_programs
        self._peers: list[Peer] = []

    def start(
        self,
        name: str,
        *arguments: str,
        wait_for_event: str | None = "serving",
        with_stdin: bool = False,
        within: Sequence[str] = (),
    ) -> Peer:
        """Start a peer; with `within`, by a program that becomes the peer."""
        called = f"{name}-{len(self._peers)}"
        module, log_path = f"ccarchiver_sim.peers.{name}.main", self._logs / f"{called}.log"
        process: ChildProcess
        if self._as_programs or within:
            argv = [*within, sys.executable, "-m", module, *arguments]
            process = ChildProcess(
                called, argv, env=self._environment, log_path=log_path, with_stdin=with_stdin
            )
        else:
            process = ForkedChild(
                called, module, arguments, env=self._environment, log_path=log_path
            )
        process.start()
        peer = Peer(process)
        self._peers.append(peer)
        if wait_for_event is not None:
            peer.wait_event(wait_for_event)
        return peer

    def stop(self) -> None:
        """Kill all running peers; tests of a clean end stop their peers themselves."""
        for peer in self._peers:
            if peer.process.is_running:
                peer.process.kill()


class ArchiverEnd:
    """Plays the archiver: declares the queues, sends its messages, receives the answers."""

    def __init__(self, site: SiteFolder) -> None:
        self._site = site
        self.redis = redis.Redis(
            port=site.settings.redis_port, db=site.settings.archiver_redis_db, decode_responses=True
        )
        self.redis.flushall()
        self._connect()
        # Broker and Redis start slowly, so all tests share them; each test finds them empty.
        for queue in QUEUES:
            self._channel.queue_delete(queue)

    def _connect(self) -> None:
        credentials = load_credentials(self._site.credential_dir / "iip_cred.yaml")
        parameters = pika.URLParameters(f"amqp://{self._site.settings.base_broker_addr}")
        parameters.credentials = pika.PlainCredentials(
            credentials.user, credentials.password.get_secret_value()
        )
        parameters.heartbeat = 0
        self._connection = pika.BlockingConnection(parameters)
        self._channel = self._connection.channel()

    def reconnect(self) -> None:
        def attempt() -> bool:
            try:
                self._connect()
            except (pika.exceptions.AMQPError, OSError):
                return False
            return True

        wait_for("RabbitMQ", attempt)

    def declare(self) -> None:
        self._channel.exchange_declare("message", exchange_type="direct", durable=True)
        for queue in QUEUES:
            self._channel.queue_declare(queue, durable=True)
            self._channel.queue_bind(queue, "message", routing_key=queue)

    def unbind(self, queue: str) -> None:
        """Remove the binding of a queue, so that it receives only from the default exchange."""
        self._channel.queue_unbind(queue, "message", routing_key=queue)

    def send(self, queue: str, message: Body | str | bytes) -> None:
        body = yaml.safe_dump(message) if isinstance(message, dict) else message
        self._channel.basic_publish(
            "message", queue, body, pika.BasicProperties(delivery_mode=PERSISTENT)
        )

    def take_raw(self, queue: str, limit: float = LIMIT_S) -> bytes:
        def get() -> bytes | None:
            method, properties, body = self._channel.basic_get(queue, auto_ack=True)
            if method is None:
                return None
            assert properties.delivery_mode == PERSISTENT
            return bytes(body)

        return wait_for(f"message in {queue}", get, limit)

    def receive(self, queue: str, limit: float = LIMIT_S, **wanted: object) -> Body:
        """Return the next message with the given fields; drop others."""
        while True:
            message = yaml.safe_load(self.take_raw(queue, limit))
            assert isinstance(message, dict)
            if message.items() >= wanted.items():
                return message

    def depth(self, queue: str) -> int:
        return int(self._channel.queue_declare(queue, passive=True).method.message_count)

    def close(self) -> None:
        if self._connection.is_open:
            self._connection.close()
        self.redis.close()
