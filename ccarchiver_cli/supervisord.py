"""What supervisord says of the workers: the one source left when Redis is away."""

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
"""As supervisord.conf names it."""

LIMIT_S = 2.0
"""Seconds supervisord may take: it answers in milliseconds unless it hangs."""


class Program(BaseModel):
    """One program under supervisord."""

    name: str
    state: str
    """supervisord's word: RUNNING, STARTING, BACKOFF, STOPPED, FATAL and others."""
    description: str


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(LIMIT_S)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


class _Transport(xmlrpc.client.Transport):
    """HTTP over a unix socket: supervisor's own takes 80 ms to import, and waits for ever."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    @override
    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = host, connection  # where its close() looks for it
        return connection


def server() -> xmlrpc.client.ServerProxy:
    """Give supervisord's interface; it connects when first used, and raises OSError then if nobody answers.

    Raises
    ------
    FileNotFoundError
        If no environment says where its socket is.
    """
    folder = os.environ.get(RUN_DIR_VARIABLE)
    if not folder:
        raise FileNotFoundError(f"{RUN_DIR_VARIABLE} is not set: set -a; . ccarchiver.env; set +a")
    return xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(str(Path(folder) / SOCKET)))


def programs() -> list[Program] | None:
    """Ask supervisord for its programs; None if it cannot be asked: no socket known, or nobody answers there."""
    try:
        with server() as proxy:
            rows = cast("list[dict[str, str]]", proxy.supervisor.getAllProcessInfo())
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None
    return [
        Program(name=_name(row["group"], row["name"]), state=row["statename"], description=row["description"])
        for row in rows
    ]


def _name(group: str, name: str) -> str:
    """Name a program as supervisorctl does."""
    return name if group == name else f"{group}:{name}"
