"""supervisord and its programs, asked through its socket as supervisorctl does."""

from __future__ import annotations

import os
import socket
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection
from typing_extensions import override

from ccarchiver_cli.doctor.finding import Finding, failure, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccarchiver_cli.doctor.site import Site

NAME = "supervisor"
RUN_DIR_VARIABLE = "CCARCHIVER_RUN_DIR"
SOCKET = "supervisor.sock"
"""As supervisord.conf has it."""

ANSWER_LIMIT = 5.0
"""Seconds supervisord may take: it answers in milliseconds."""

PROGRAMS = ("health", "bridge", "sal")
GROUP = "ccarchiver"
LISTENER = "watch"
START = "supervisord -c supervisord.conf"


class _Connection(UnixStreamHTTPConnection):  # type: ignore[misc]  # supervisor has no types
    """A connection that gives up: supervisor's own waits for ever."""

    @classmethod
    def to(cls, path: Path) -> Self:
        """Make one to a socket; it connects when first used."""
        connection = cls("localhost")
        connection.socketfile = str(path)
        return connection

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_LIMIT)
        self.sock.connect(self.socketfile)


class _Transport(SupervisorTransport):  # type: ignore[misc]  # supervisor has no types
    def __init__(self, path: Path) -> None:
        super().__init__(None, None, f"unix://{path}")
        self._get_connection = lambda: _Connection.to(path)  # it keeps its way to connect in this attribute


def check(_site: Site) -> Iterator[Finding]:
    """Look at supervisord and the state of each program."""
    folder = os.environ.get(RUN_DIR_VARIABLE)
    if not folder:
        text = f"{RUN_DIR_VARIABLE} is not set, so nobody knows where supervisord's socket is"
        yield warning(NAME, text, "set -a; . ccarchiver.env; set +a")
        return
    path = Path(folder) / SOCKET
    try:
        programs = query(path)
    except (FileNotFoundError, ConnectionRefusedError):
        yield failure(NAME, f"supervisord does not run: nobody listens on {path}", START)
        return
    except PermissionError:
        yield warning(NAME, f"{path} is another user's", "run ccarchiver doctor as the user of supervisord")
        return
    except TimeoutError:
        yield failure(
            NAME,
            f"supervisord hangs: no answer on {path} within {ANSWER_LIMIT:g} s",
            f"kill -CONT $(cat {folder}/supervisord.pid); if that does not help, kill -9 it and: {START}",
        )
        return
    yield from evaluate(programs)


def query(path: Path) -> list[Mapping[str, Any]]:
    """Ask supervisord for the state of all programs.

    Raises
    ------
    OSError
        If it cannot be reached, or does not answer in time.
    """
    transport = _Transport(path)
    try:
        server = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        return cast("list[Mapping[str, Any]]", server.supervisor.getAllProcessInfo())
    finally:
        transport.close()


def evaluate(programs: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Judge the state of each program; one line if all run."""
    states = {str(one["name"]): one for one in programs if one["group"] == GROUP}
    bad = [finding for name in PROGRAMS for finding in _judge_one(name, states.get(name))]
    yield from bad
    yield from _judge_listener(programs)
    if not bad:
        running = ", ".join(f"{name} (pid {states[name]['pid']})" for name in PROGRAMS)
        yield ok(NAME, f"running: {running}")


def _judge_one(name: str, program: Mapping[str, Any] | None) -> Iterator[Finding]:
    if program is None:
        yield failure(
            NAME, f"supervisord knows no program {GROUP}:{name}", "supervisorctl reread, supervisorctl update"
        )
        return
    state, detail = str(program["statename"]), str(program["description"])
    text = f"{GROUP}:{name} is {state}" + (f" ({detail})" if detail else "")
    start = f"supervisorctl start {GROUP}:{name}"
    match state:
        case "RUNNING":
            return
        case "STARTING":
            yield warning(NAME, text, "ask again in a moment")
        case "EXITED" if program["exitstatus"] == 0:
            yield warning(NAME, f"{text}: it was told to end by the exitControl command", start)
        case "BACKOFF":
            yield failure(NAME, f"{text}: it ends right after its start", f"supervisorctl tail {GROUP}:{name}")
        case _:
            yield failure(NAME, text, start)


def _judge_listener(programs: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Judge our event listener; a supervisord that was started before there was one does not know it."""
    states = [str(one["statename"]) for one in programs if one["group"] == LISTENER]
    if states and states[0] not in {"RUNNING", "STARTING"}:
        text = f"{LISTENER}, which tells what supervisord does, is {states[0]}: alarms come later and know less"
        yield warning(NAME, text, f"supervisorctl tail {LISTENER} stderr; supervisorctl start {LISTENER}")
