"""What the private Redis and RabbitMQ have in common."""

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
"""For one question to a server on this machine, which answers in a millisecond when it is up."""
PROBE_BYTES = 64
"""More than the part of the answer that is looked at."""


@dataclass(frozen=True)
class ServerTls:
    """Files with which a server proves who it is, and by which it knows its clients (PEM)."""

    ca: Path
    """Who signed the certificates of both sides."""
    cert: Path
    key: Path


class PrivateServer(ABC):
    """A server program on a port of its own with its data in a folder of its own.

    It keeps its port and its data from one start to the next, so a test can take it away and bring it back.

    Parameters
    ----------
    folder
        Where everything of it goes; made if missing.
    port
        To listen on; a free one by default.
    """

    name: str
    ready_limit: float
    """Seconds a start may take on a free reference machine."""
    stop_limit: float
    """Seconds a clean stop may take before it is killed."""

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
            If it was never started.
        """
        return self._server().pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs, ready or not."""
        return self._child is not None and self._child.is_running

    @property
    def log_path(self) -> Path:
        """What the server prints."""
        return self.folder / f"{self.name}.out"

    def start(self) -> None:
        """Start the server and wait until it answers; does nothing if it does already.

        Raises
        ------
        ChildError
            If it ends or does not answer in time; the text names its log.
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
            If it ends or does not answer in time.
        """
        server = self._server()
        deadline = Deadline(self.ready_limit)
        while not self.is_ready():
            server.require_running()
            if deadline.has_passed():
                raise ChildError(
                    f"{self.name} on port {self.port} did not answer within {self.ready_limit:g} s; "
                    f"{server.where()}\n{server.tail()}"
                )
            time.sleep(POLL_S)

    def require_running(self) -> None:
        """Raise a ChildError with the end of its log if it is not running."""
        self._server().require_running()

    def stop(self) -> None:
        """Stop it cleanly; its data stays. Safe to repeat."""
        if self._child is not None:
            self._child.stop(self.stop_limit)

    def terminate(self) -> None:
        """Ask it to stop, without waiting."""
        if self._child is not None:
            self._child.thaw()
            self._child.terminate()

    def kill(self) -> None:
        """End it as a crash would; what it had not yet written is lost."""
        self._server().kill()

    def wait_ended(self) -> None:
        """Wait until it has ended of itself.

        Raises
        ------
        ChildError
            If it still runs after `stop_limit` seconds.
        """
        self._server().wait_ended(self.stop_limit)

    def freeze(self) -> None:
        """Make it hang: connections stay open and nothing is answered."""
        self._server().freeze()

    def thaw(self) -> None:
        """Let it go on after a freeze."""
        self._server().thaw()

    def restart(self) -> None:
        """Stop it cleanly and start it on the same port with the same data."""
        self.stop()
        self.start()

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether it answers its own protocol now."""

    @abstractmethod
    def _make_child(self) -> ChildProcess:
        """Write the configuration and return the process to start."""

    def _ask(self, question: bytes) -> bytes:
        """Return the beginning of the answer, or nothing if there is none in time."""
        try:
            with socket.create_connection((LOOPBACK, self.port), scaled(PROBE_TIMEOUT_S)) as connection:
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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
