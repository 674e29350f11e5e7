"""A Redis of one's own."""

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
"""It is up in 0.1 s; a machine that compiles beside it needs more."""
STOP_LIMIT_S = 10.0
"""It writes its append-only file on the way out: milliseconds at the size of a test."""


class PrivateRedis(PrivateServer):
    """A Redis server with the durability the archiver asks of a site's: each write on disk before it is answered.

    Parameters
    ----------
    folder, port
        See `PrivateServer`.
    fsync
        Redis' ``appendfsync``: when a write is on disk.
    environment
        More variables for it.
    users
        Redis' ``aclfile``: who may do what. By default anybody may do everything, without a password.
    tls
        A second port, `tls_port`, that only encrypted connections find, and only those with a certificate.
    replica_of
        Port of the private Redis it is a replica of.
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

    def fill_disk(self) -> None:
        """Let no file of it grow from now on: its next write to the append-only file fails, as on a full disk.

        What it does then depends on `fsync`: with ``always`` it ends itself, with ``everysec`` it refuses writes.
        """
        sizes = [path.stat().st_size for path in self.folder.glob("appendonlydir/*.incr.aof")]
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (max(sizes), resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """Let its files grow again; one that has ended meanwhile has no limit when it is started again."""
        if self.is_running:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @override
    def is_ready(self) -> bool:
        # While it reads its data back it answers -LOADING.
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
            # No snapshots beside the append-only file: they would only cost forks.
            "save": "",
            # As in deploy/redis.conf: a third less memory for an image's record.
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
        argv = [self.name]
        for key, value in settings.items():
            argv += [f"--{key}", value]
        env = base_environment() | dict(self._environment)
        child = ChildProcess(self.name, argv, env=env, log_path=self.log_path, death_signal=signal.SIGKILL)
        child.survives_full_disk = True
        return child
