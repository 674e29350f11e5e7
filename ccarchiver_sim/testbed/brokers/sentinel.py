"""A private Redis Sentinel."""

import signal
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.brokers.redis import READY_LIMIT_S, STOP_LIMIT_S
from ccarchiver_sim.testbed.brokers.server import PrivateServer
from ccarchiver_sim.testbed.child_process import ChildProcess, base_environment

DOWN_AFTER_MS = 1000
"""Time without an answer after which the master counts as down. A site sets more, so that a busy
master is not replaced."""
FAILOVER_TIMEOUT_MS = 5000
"""Time that a failover may take before the next attempt."""


class PrivateSentinel(PrivateServer):
    """A Sentinel; a site has three, on three hosts.

    Parameters
    ----------
    folder, port
        See `PrivateServer`.
    master
        Name of the monitored master.
    master_port
        Initial port of the master.
    extra
        Additional lines of its configuration.
    quorum
        Number of Sentinels that must agree that the master is down. By default it decides alone.
    """

    name = "redis-sentinel"
    ready_limit = READY_LIMIT_S
    stop_limit = STOP_LIMIT_S

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        master: str,
        master_port: int,
        extra: Sequence[str] = (),
        quorum: int = 1,
    ) -> None:
        super().__init__(folder, port)
        self._extra = tuple(extra)
        self._quorum = quorum
        self._master = master
        self._master_port = master_port

    @override
    def is_ready(self) -> bool:
        return self._ask(b"PING\r\n").startswith(b"+PONG")

    @override
    def _make_child(self) -> ChildProcess:
        lines = [
            f"port {self.port}",
            f"bind {LOOPBACK}",
            f"dir {self.folder}",
            f"sentinel monitor {self._master} {LOOPBACK} {self._master_port} {self._quorum}",
            f"sentinel down-after-milliseconds {self._master} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {self._master} {FAILOVER_TIMEOUT_MS}",
            *self._extra,
        ]
        # Sentinel writes its state into this file.
        configuration = self.folder / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return ChildProcess(
            self.name,
            ["redis-server", str(configuration), "--sentinel"],
            env=base_environment(),
            log_path=self.log_path,
            death_signal=signal.SIGKILL,
        )
