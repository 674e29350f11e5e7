"""Query of supervisord for the workers' processes, used if Redis does not answer."""

from __future__ import annotations

import http.client
import os
import socket
import xmlrpc.client
from pathlib import Path
from typing import cast

from pydantic import BaseModel
from typing_extensions import override

RUN_DIR_VARIABLE = "CCARCHIVER_RUN_DIR"
SOCKET = "supervisor.sock"
"""File name in supervisord.conf."""

LIMIT_S = 2.0
"""Timeout in seconds; supervisord answers in milliseconds unless it hangs."""


class Program(BaseModel):
    """One program under supervisord."""

    name: str
    state: str
    """State in supervisord: RUNNING, STARTING, BACKOFF, STOPPED, FATAL and others."""
    description: str


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


class UnixTransport(xmlrpc.client.Transport):
    """HTTP over a unix socket, with a timeout in seconds for each request.

    The transport of supervisor itself takes 80 ms to import and has no timeout.
    """

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    @override
    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = _Connection(self._path, self._timeout)
        self._connection = host, connection  # close() of the base class reads this attribute
        return connection


def server() -> xmlrpc.client.ServerProxy:
    """Return a proxy of supervisord.

    It connects at the first call, which raises OSError if supervisord does not answer.

    Raises
    ------
    FileNotFoundError
        If the environment does not name the directory of the socket.
    """
    folder = os.environ.get(RUN_DIR_VARIABLE)
    if not folder:
        raise FileNotFoundError(f"{RUN_DIR_VARIABLE} is not set: set -a; . ccarchiver.env; set +a")
    return xmlrpc.client.ServerProxy(
        "http://localhost", transport=UnixTransport(str(Path(folder) / SOCKET), LIMIT_S)
    )


def programs() -> list[Program] | None:
    """Return the programs of supervisord; None if its socket is unknown or does not answer."""
    try:
        with server() as proxy:
            rows = cast("list[dict[str, str]]", proxy.supervisor.getAllProcessInfo())
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None
    return [
        Program(
            name=_name(row["group"], row["name"]),
            state=row["statename"],
            description=row["description"],
        )
        for row in rows
    ]


def _name(group: str, name: str) -> str:
    """Return the name that supervisorctl uses for a program."""
    return name if group == name else f"{group}:{name}"
