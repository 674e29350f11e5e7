"""A private Redis server."""

import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from typing_extensions import override

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.brokers.server import PrivateServer, ServerTls
from ccarchiver_sim.testbed.child_process import ChildProcess, base_environment

READY_LIMIT_S = 20.0
"""The start takes 0.1 s; it takes longer on a machine that compiles at the same time."""
STOP_LIMIT_S = 10.0
"""The server writes its append-only file before it ends: milliseconds at the size of a test."""


class PrivateRedis(PrivateServer):
    """A Redis server with the durability of a site's: each write is on disk before its answer.

    Parameters
    ----------
    folder, port
        See `PrivateServer`.
    fsync
        Redis' ``appendfsync``: when a write is on disk.
    environment
        Additional variables for the server.
    users
        Redis' ``aclfile``: the users and their permissions. By default every client has all
        permissions, without a password.
    tls
        If given, the server has a second port, `tls_port`, that accepts only encrypted connections
        of clients with a certificate.
    replica_of
        Port of the private Redis of which this one is a replica.
    """

    name = "redis-server"
    ready_limit = READY_LIMIT_S
    stop_limit = STOP_LIMIT_S

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        fsync: str = "always",
        environment: Mapping[str, str] = MappingProxyType({}),
        users: Path | None = None,
        tls: ServerTls | None = None,
        replica_of: int | None = None,
    ) -> None:
        super().__init__(folder, port)
        self._fsync = fsync
        self._environment = environment
        self._users = users
        self._tls = tls
        self.tls_port = free_port() if tls else 0
        self._replica_of = replica_of
        self.extra: dict[str, str] = {}
        """More lines of its configuration; change it before the first start."""

    def fill_disk(self) -> None:
        """Forbid growth of the server's files: its next append fails, as on a full disk.

        The result depends on `fsync`: with ``always`` the server ends, with ``everysec`` it rejects
        writes.
        """
        sizes = [path.stat().st_size for path in self.folder.glob("appendonlydir/*.incr.aof")]
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (max(sizes), resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """Allow the files to grow again.

        A server that has ended in the meantime has no limit when it is started again.
        """
        if self.is_running:
            resource.prlimit(
                self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )

    @override
    def is_ready(self) -> bool:
        # While Redis loads its data it answers -LOADING.
        return self._ask(b"PING\r\n").startswith(b"+PONG")

    @override
    def _make_child(self) -> ChildProcess:
        settings = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "maxmemory-policy": "noeviction",
            # No snapshots in addition to the append-only file: they would only cost forks.
            "save": "",
            # As in deploy/redis.conf: an image record then needs a third less memory.
            "hash-max-listpack-value": "512",
        }
        if self._users is not None:
            settings["aclfile"] = str(self._users)
        if self._tls is not None:
            settings |= {
                "tls-port": str(self.tls_port),
                "tls-ca-cert-file": str(self._tls.ca),
                "tls-cert-file": str(self._tls.cert),
                "tls-key-file": str(self._tls.key),
                "tls-auth-clients": "yes",
            }
        if self._replica_of is not None:
            settings["replicaof"] = f"{LOOPBACK} {self._replica_of}"
        settings |= self.extra
        argv = [self.name]
        for key, value in settings.items():
            argv += [f"--{key}", value]
        env = base_environment() | dict(self._environment)
        child = ChildProcess(
            self.name, argv, env=env, log_path=self.log_path, death_signal=signal.SIGKILL
        )
        child.survives_full_disk = True
        return child
