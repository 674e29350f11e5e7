"""A private PostgreSQL server, for a Butler repository as at the observatory."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.brokers.server import PrivateServer
from ccarchiver_sim.testbed.child_process import ChildError, ChildProcess, base_environment

READY_LIMIT_S = 30.0
"""A start takes half a second."""
STOP_LIMIT_S = 20.0
"""The server writes a checkpoint before it ends: a few megabytes in a test."""
PROGRAMS = Path("/usr/lib/postgresql")
"""Debian's folder, with a folder for each major version."""
USERS = ("postgres", "daemon")
"""Users without rights, in the sequence of preference: PostgreSQL does not run as root. The package
creates the first one."""
ROLE = "butler"
DATABASE = "postgres"
"""The database that each server has from its beginning."""
EXTENSION = "btree_gist"
"""Extension with which the Butler compares the times of datasets."""
SETTINGS = {
    "listen_addresses": LOOPBACK,
    # No socket: two servers cannot have one in the same folder.
    "unix_socket_directories": "",
    # What was written survives the end of the server, but not that of the machine.
    "fsync": "off",
    "shared_buffers": "16MB",
}


class PrivatePostgres(PrivateServer):
    """A PostgreSQL server with one role that has all rights, without a password.

    Its data are in a temporary folder of its user, because that user cannot read the other folders
    of a test that root runs. `remove` removes them.

    Parameters
    ----------
    folder, port
        See `PrivateServer`. The folder has only the log.
    """

    name = "postgres"
    ready_limit = READY_LIMIT_S
    stop_limit = STOP_LIMIT_S

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder, port)
        self._programs = _programs()
        self._data: Path | None = None

    @property
    def url(self) -> str:
        """Address of the database."""
        return f"postgresql://{ROLE}@{LOOPBACK}:{self.port}/{DATABASE}"

    @override
    def start(self) -> None:
        super().start()
        command = f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}"
        self._run("psql", "--quiet", "--no-psqlrc", *self._address, "--command", command)

    @override
    def launch(self) -> None:
        if self._data is None:
            self._data = self._make_data()
        super().launch()

    @override
    def is_ready(self) -> bool:
        # The port answers before the server accepts connections.
        argv = [str(self._programs / "pg_isready"), "--quiet", *self._address]
        done = subprocess.run(argv, env=base_environment(), capture_output=True, check=False)
        return done.returncode == 0

    @override
    def stop(self) -> None:
        self.terminate()
        super().stop()

    @override
    def terminate(self) -> None:
        # After SIGTERM alone it would wait until all clients have left.
        if self._child is not None:
            self._child.thaw()
            self._child.signal(signal.SIGINT)

    def remove(self) -> None:
        """Stop the server and remove its data. Safe to repeat."""
        self.stop()
        if self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)
            self._data = None

    @override
    def _make_child(self) -> ChildProcess:
        argv = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        for key, value in SETTINGS.items():
            argv += ["-c", f"{key}={value}"]
        return ChildProcess(
            self.name,
            _as_other_user(argv, signal.SIGQUIT),
            env=base_environment(),
            log_path=self.log_path,
            # It ends at once with all its processes, without a checkpoint.
            death_signal=signal.SIGQUIT,
        )

    @property
    def _address(self) -> list[str]:
        return [
            f"--host={LOOPBACK}",
            f"--port={self.port}",
            f"--username={ROLE}",
            f"--dbname={DATABASE}",
        ]

    def _make_data(self) -> Path:
        data = Path(tempfile.mkdtemp(prefix="ccarchiver-postgres-"))
        if (user := _other_user()) is not None:
            os.chown(data, user.pw_uid, user.pw_gid)
        options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        try:
            self._run("initdb", "-D", str(data), "-U", ROLE, *options)
        except ChildError:
            shutil.rmtree(data, ignore_errors=True)
            raise
        return data

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        argv = _as_other_user([str(self._programs / program), *arguments], signal.SIGKILL)
        done = subprocess.run(
            argv,
            env=base_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ChildError(f"{program} ended with exit status {done.returncode}: {done.stderr}")


def _programs() -> Path:
    """Return the folder of the programs of the newest installed version."""
    found = [path for path in PROGRAMS.glob("*/bin") if (path / "postgres").exists()]
    if not found:
        raise ChildError(
            f"cannot start postgres: it is not in {PROGRAMS}; run `make setup-tests`, "
            "or install Debian's package postgresql"
        )
    return max(found, key=lambda path: float(path.parent.name))


def _other_user() -> pwd.struct_passwd | None:
    """Return the user of the server; None if this process may run it itself."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)


def _as_other_user(argv: Sequence[str], death_signal: signal.Signals) -> list[str]:
    """Return a command that runs a program as the user of the server.

    The kernel forgets the signal at the death of the parent when the user changes, so it is set
    again.
    """
    user = _other_user()
    if user is None:
        return list(argv)
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--pdeathsig",
        death_signal.name.removeprefix("SIG"),
        # The other user may not be permitted to enter the current folder, which the server would
        # try.
        "env",
        "--chdir=/",
        *argv,
    ]
