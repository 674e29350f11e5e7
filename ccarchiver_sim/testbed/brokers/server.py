"""Base class of the private Redis, Sentinel and RabbitMQ servers."""

import socket
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ccarchiver_sim.pace import Deadline, scaled
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.child_process import POLL_S, ChildError, ChildProcess

PROBE_TIMEOUT_S = 1.0
"""Limit for one request to a server on this machine, which answers in a millisecond once it
serves."""
PROBE_BYTES = 64
"""More than the part of the answer that is examined."""


@dataclass(frozen=True)
class ServerTls:
    """Files by which a server authenticates itself and its clients (PEM)."""

    ca: Path
    """Authority that signed the certificates of both sides."""
    cert: Path
    key: Path


class PrivateServer(ABC):
    """A server program with its own port and data folder.

    The port and the data stay the same from one start to the next, so a test can stop the server
    and start it again.

    Parameters
    ----------
    folder
        Folder of the server; created if missing.
    port
        Port on which to listen; a free one by default.
    """

    name: str
    ready_limit: float
    """Seconds that a start may take on an idle reference machine."""
    stop_limit: float
    """Seconds that a clean stop may take before the server is killed."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port if port is not None else free_port()
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises
        ------
        ChildError
            If the server was never started.
        """
        return self._server().pid

    @property
    def is_running(self) -> bool:
        """Whether the server process runs, ready or not."""
        return self._child is not None and self._child.is_running

    @property
    def log_path(self) -> Path:
        """File with the output of the server."""
        return self.folder / f"{self.name}.out"

    def start(self) -> None:
        """Start the server and wait until it answers; do nothing if it already does.

        Raises
        ------
        ChildError
            If the server ends or does not answer in time; the text names its log.
        """
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the server without waiting. Call it from the main thread (see ChildProcess)."""
        if self._child is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            self._child = self._make_child()
        self._child.start()

    def wait_ready(self) -> None:
        """Wait until the server answers.

        Raises
        ------
        ChildError
            If the server ends or does not answer in time.
        """
        server = self._server()
        deadline = Deadline(self.ready_limit)
        while not self.is_ready():
            server.require_running()
            if deadline.has_passed():
                raise ChildError(
                    f"{self.name} on port {self.port} did not answer within "
                    f"{self.ready_limit:g} s; {server.where()}\n{server.tail()}"
                )
            time.sleep(POLL_S)

    def require_running(self) -> None:
        """Raise a ChildError with the end of the log if the server is not running."""
        self._server().require_running()

    def how_it_ended(self) -> str | None:
        """Return name, exit status and log of a server that has ended; None for another one."""
        return None if self._child is None else self._child.how_it_ended()

    def stop(self) -> None:
        """Stop the server cleanly and keep its data. Safe to repeat."""
        if self._child is not None:
            self._child.stop(self.stop_limit)

    def terminate(self) -> None:
        """Send SIGTERM without waiting."""
        if self._child is not None:
            self._child.thaw()
            self._child.terminate()

    def kill(self) -> None:
        """Kill the server as a crash does; data that it has not written is lost."""
        self._server().kill()

    def wait_ended(self) -> None:
        """Wait until the server has ended without a signal.

        Raises
        ------
        ChildError
            If the server still runs after `stop_limit` seconds.
        """
        self._server().wait_ended(self.stop_limit)

    def freeze(self) -> None:
        """Suspend the server: connections stay open, but no request is answered."""
        self._server().freeze()

    def thaw(self) -> None:
        """Continue a frozen server."""
        self._server().thaw()

    def restart(self) -> None:
        """Stop the server cleanly and start it on the same port with the same data."""
        self.stop()
        self.start()

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether the server answers its protocol now."""

    @abstractmethod
    def _make_child(self) -> ChildProcess:
        """Write the configuration and return the process to start."""

    def _ask(self, question: bytes) -> bytes:
        """Return the beginning of the answer, or an empty text if none arrives in time."""
        try:
            with socket.create_connection(
                (LOOPBACK, self.port), scaled(PROBE_TIMEOUT_S)
            ) as connection:
                connection.sendall(question)
                return connection.recv(PROBE_BYTES)
        except OSError:
            return b""

    def _server(self) -> ChildProcess:
        if self._child is None:
            raise ChildError(f"{self.name} was never started")
        return self._child

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
