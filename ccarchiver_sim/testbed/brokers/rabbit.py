"""A private RabbitMQ server."""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pika
from typing_extensions import override

from ccarchiver_sim import pace
from ccarchiver_sim.testbed.brokers.definitions import SECRET_FILE_MODE, write_definitions
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.brokers.server import PrivateServer, ServerTls
from ccarchiver_sim.testbed.child_process import (
    KILL_WAIT_S,
    ChildError,
    ChildProcess,
    base_environment,
)

SERVER_PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Path in Debian. The wrapper of the same name on the PATH cannot be used: it switches to the user
rabbitmq."""
SERVER_VARIABLE = "RABBITMQ_SERVER"
"""Environment variable with the path of the program on other systems."""
CONTROL_NAME = "rabbitmqctl"
"""Name of the control program, which is in the server program's folder."""
MEMORY_FRACTION = "0.4"
"""RabbitMQ's default for vm_memory_high_watermark."""
FULL_POLICY = "full"
"""Name of the policy with which a queue rejects messages."""
CONTROL_LIMIT_S = 60.0
"""One command takes about a second and a half, most of it for the start of Erlang."""
READY_LIMIT_S = 90.0
"""The start takes 3 to 6 s, 9 s from a cold disk; the limit is for a machine with much other
work."""
STOP_LIMIT_S = 15.0
"""The stop takes 2.5 s."""
HEADER = b"AMQP\x00\x00\x09\x01"
"""Greeting of an AMQP 0-9-1 client; the broker answers with its first frame, which begins with type
1."""
FIRST_FRAME = b"\x01"
NAME_RESOLUTION = '{host, {127,0,0,1}, ["localhost"]}.\n{lookup, [file, native]}.\n'
"""Name resolution of Erlang: in a minimal container the name localhost may be unknown, and the
server then fails after a minute."""
DEFAULT_VHOST = "/test_cc"
USER = "archiver"
PASSWORD_BYTES = 24
"""Random bytes of a password; cannot be guessed during a test."""


class PrivateRabbit(PrivateServer):
    """A RabbitMQ server with one user, a random password and the archiver's virtual host.

    The server has its own Erlang port mapper (epmd), which ends with it.

    Parameters
    ----------
    folder
        Folder of the server; created if missing.
    port
        Port for AMQP; a free one by default.
    vhosts
        Virtual hosts to create. With several, tests can share one broker, which takes seconds to
        start, without access to each other's queues.
    tls
        If given, the server has a second port, `tls_port`, that accepts only encrypted connections
        of clients with a certificate.
    joins
        A running node whose cluster this server joins; users and virtual hosts are the cluster's.
    queue_type
        Type of the queues that clients declare without a type, if not RabbitMQ's own default.
    """

    name = "rabbitmq-server"
    ready_limit = READY_LIMIT_S
    stop_limit = STOP_LIMIT_S

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        vhosts: Sequence[str] = (DEFAULT_VHOST,),
        *,
        tls: ServerTls | None = None,
        joins: "PrivateRabbit | None" = None,
        queue_type: str | None = None,
    ) -> None:
        super().__init__(folder, port)
        self.queue_type: str | None = joins.queue_type if joins else queue_type
        self._joins = joins
        self._tls = tls
        self.tls_port = free_port() if tls else 0
        self.vhosts: tuple[str, ...] = joins.vhosts if joins else tuple(vhosts)
        self.user = USER
        self.password: str = joins.password if joins else secrets.token_urlsafe(PASSWORD_BYTES)
        self.cookie: str = joins.cookie if joins else secrets.token_hex(PASSWORD_BYTES)
        """Erlang cookie, by which the nodes of a cluster authenticate each other."""
        self.mapper_port: int = joins.mapper_port if joins else free_port()
        """Port of the cluster's one port mapper, from which each node learns the ports of the
        others."""
        self._distribution_port = free_port()
        self._mapper: ChildProcess | None = None

    @property
    def address(self) -> str:
        """Host, port and first virtual host as in the site file: ``127.0.0.1:5672/%2ftest_cc``."""
        return self.address_of(self.vhosts[0])

    def address_of(self, vhost: str) -> str:
        """Return the address of one virtual host in the format of the site file."""
        return f"{LOOPBACK}:{self.port}/{vhost.replace('/', '%2f')}"

    @property
    def node(self) -> str:
        """Erlang node name of this server."""
        return f"ccarchiver{self.port}@localhost"

    def add_vhosts(self, *names: str) -> None:
        """Create more virtual hosts on the running server.

        Raises
        ------
        ChildError
            If the server rejects them or does not run.
        """
        self.vhosts += names
        self.import_definitions(self._write_definitions())

    def import_definitions(self, definitions: Path) -> None:
        """Import a definitions file into the running server, as a site does.

        Raises
        ------
        ChildError
            If the server rejects them or does not run.
        """
        control = Path(self._program()).with_name(CONTROL_NAME)
        argv = [str(control), "import_definitions", str(definitions)]
        done = pace.run(
            argv, CONTROL_LIMIT_S, env=self._environment(), capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ChildError(
                f"`{' '.join(argv)}` ended with {done.returncode}: {done.stdout}{done.stderr}"
            )

    @override
    def launch(self) -> None:
        # The mapper starts first: otherwise the server starts one as a daemon, which outlives it
        # and whose pid is unknown.
        if self._joins is not None:
            super().launch()
            return
        if self._mapper is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._mapper = ChildProcess(
                "epmd",
                ["epmd", "-port", str(self.mapper_port), "-address", LOOPBACK],
                env=base_environment(),
                log_path=self.folder / "epmd.out",
                death_signal=signal.SIGKILL,
            )
        self._mapper.start()
        super().launch()

    @override
    def stop(self) -> None:
        super().stop()
        if self._mapper is not None:
            self._mapper.stop(KILL_WAIT_S)

    @override
    def is_ready(self) -> bool:
        return self._ask(HEADER).startswith(FIRST_FRAME)

    @override
    def _make_child(self) -> ChildProcess:
        home = self.folder
        configuration = "log.console = false\n"
        if self._joins is None:
            configuration += f"load_definitions = {self._write_definitions()}\n"
        else:
            configuration += (
                "cluster_formation.peer_discovery_backend = classic_config\n"
                f"cluster_formation.classic_config.nodes.1 = {self._joins.node}\n"
                f"cluster_formation.classic_config.nodes.2 = {self.node}\n"
            )
        cookie = home / ".erlang.cookie"
        cookie.touch(mode=SECRET_FILE_MODE)
        cookie.write_text(self.cookie, encoding="ascii")
        if self._tls is not None:
            configuration += (
                f"listeners.ssl.1 = {LOOPBACK}:{self.tls_port}\n"
                f"ssl_options.cacertfile = {self._tls.ca}\n"
                f"ssl_options.certfile = {self._tls.cert}\n"
                f"ssl_options.keyfile = {self._tls.key}\n"
                "ssl_options.verify = verify_peer\n"
                "ssl_options.fail_if_no_peer_cert = true\n"
            )
        (home / "rabbitmq.conf").write_text(configuration, encoding="utf-8")
        (home / "advanced.config").write_text("[].\n", encoding="utf-8")
        (home / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        (home / "rabbitmq-env.conf").write_text("", encoding="utf-8")
        (home / "inetrc").write_text(NAME_RESOLUTION, encoding="utf-8")
        return ChildProcess(
            self.name,
            [self._program()],
            env=self._environment(),
            log_path=self.log_path,
            death_signal=signal.SIGKILL,
        )

    @staticmethod
    def _program() -> str:
        return os.environ.get(SERVER_VARIABLE, SERVER_PROGRAM)

    def _write_definitions(self) -> Path:
        path = self.folder / "definitions.json"
        write_definitions(path, self.user, self.password, self.vhosts, self.queue_type)
        return path

    def control_environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return a copy of an environment in which ``rabbitmqctl`` controls this server.

        The program's own directory comes first in the PATH. The wrapper of the Debian package would
        switch to the user rabbitmq and start an epmd on its default port, which would then remain.
        """
        folder = Path(self._program()).parent
        return {**env, **self._environment(), "PATH": f"{folder}{os.pathsep}{env['PATH']}"}

    def control(self, *words: str) -> str:
        """Run ``rabbitmqctl`` on this server, which takes a second or more; return its output.

        Raises
        ------
        subprocess.CalledProcessError
            If it fails.
        """
        return subprocess.run(
            [CONTROL_NAME, "-q", "-n", self.node, *words],
            env=self.control_environment(os.environ),
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    @property
    def version(self) -> tuple[int, ...]:
        """Version of the running server, for example (3, 10, 8)."""
        credentials = pika.PlainCredentials(self.user, self.password)
        parameters = pika.ConnectionParameters(LOOPBACK, self.port, self.vhosts[0], credentials)
        with pika.BlockingConnection(parameters) as connection:
            # pika offers no public access to what the server says of itself.
            properties = connection._impl.server_properties  # noqa: SLF001
        return tuple(int(number) for number in str(properties["version"]).split("."))

    def raise_memory_alarm(self) -> None:
        """Let the server find too little memory, so that it accepts no messages."""
        self.control("set_vm_memory_high_watermark", "absolute", "1MB")

    def end_memory_alarm(self) -> None:
        """Let the server find enough memory again."""
        self.control("set_vm_memory_high_watermark", MEMORY_FRACTION)

    def reject_messages(self, vhost: str, queue: str) -> None:
        """Let a queue reject every message, as a full one does.

        A message that its consumer gets at once may be accepted.
        """
        definition = json.dumps({"max-length": 0, "overflow": "reject-publish"})
        self.control("set_policy", "-p", vhost, FULL_POLICY, f"^{queue}$", definition)

    def accept_messages(self, vhost: str) -> None:
        """End `reject_messages`."""
        self.control("clear_policy", "-p", vhost, FULL_POLICY)

    def _environment(self) -> dict[str, str]:
        """Return the variables that limit the server to its own folder."""
        home = self.folder
        return base_environment() | {
            "HOME": str(home),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_INETRC": str(home / "inetrc"),
            # Otherwise the dump is written into the current folder.
            "ERL_CRASH_DUMP": str(home / "erl_crash.dump"),
            "ERL_EPMD_PORT": str(self.mapper_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "feature_flags"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(home / "plugins"),
            # Idle schedulers sleep instead of spinning: on two cores the spinning adds latency to
            # all programs.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} "
                "+sbwt none +sbwtdcpu none +sbwtdio none"
            ),
            # With this, the child's pid is that of the server, not of a shell around it.
            "detached": "1",
        }
