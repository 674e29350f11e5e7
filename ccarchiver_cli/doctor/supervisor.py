"""Check of supervisord and its programs, over the socket that supervisorctl uses."""

from __future__ import annotations

import os
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ccarchiver_cli.doctor.finding import Finding, failure, ok, warning
from ccarchiver_cli.supervisord import RUN_DIR_VARIABLE, SOCKET, UnixTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccarchiver_cli.doctor.site import Site

SHUTDOWN_STATE = 6
"""supervisord's fault code for every call while it shuts down."""

NAME = "supervisor"
ANSWER_LIMIT = 5.0
"""Timeout in seconds; supervisord answers in milliseconds."""

PROGRAMS = ("health", "bridge", "sal")
GROUP = "ccarchiver"
LISTENER = "event_listener"
START = "supervisord -c supervisord.conf"


def check(_site: Site) -> Iterator[Finding]:
    """Check supervisord and the state of each program."""
    folder = os.environ.get(RUN_DIR_VARIABLE)
    if not folder:
        text = f"{RUN_DIR_VARIABLE} is not set, so the socket of supervisord is unknown"
        yield warning(NAME, text, "set -a; . ccarchiver.env; set +a")
        return
    path = Path(folder) / SOCKET
    try:
        programs = query(path)
    except (FileNotFoundError, ConnectionRefusedError):
        yield failure(NAME, f"supervisord does not run: no program listens on {path}", START)
        return
    except PermissionError:
        remedy = "run ccarchiver doctor as the user of supervisord"
        yield warning(NAME, f"{path} belongs to another user", remedy)
        return
    except TimeoutError:
        yield failure(
            NAME,
            f"supervisord hangs: no answer on {path} within {ANSWER_LIMIT:g} s",
            f"kill -CONT $(cat {folder}/supervisord.pid); "
            f"if that does not help, kill -9 it, then: {START}",
        )
        return
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != SHUTDOWN_STATE:
            raise
        yield warning(NAME, "supervisord is shutting down", f"when it has ended: {START}")
        return
    yield from evaluate(programs)


def query(path: Path) -> list[Mapping[str, Any]]:
    """Return the state of all programs of supervisord.

    Raises
    ------
    OSError
        If supervisord cannot be reached, or does not answer in time.
    """
    transport = UnixTransport(str(path), ANSWER_LIMIT)
    try:
        server = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        return cast("list[Mapping[str, Any]]", server.supervisor.getAllProcessInfo())
    finally:
        transport.close()


def evaluate(programs: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Evaluate the state of each program; yield one finding if all are running."""
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
            NAME,
            f"supervisord knows no program {GROUP}:{name}",
            "supervisorctl reread, supervisorctl update",
        )
        return
    state, detail = str(program["statename"]), str(program["description"])
    text = f"{GROUP}:{name} is {state}" + (f" ({detail})" if detail else "")
    start = f"supervisorctl start {GROUP}:{name}"
    match state:
        case "RUNNING":
            return
        case "STARTING":
            yield warning(NAME, text, "run ccarchiver doctor again in a moment")
        case "EXITED" if program["exitstatus"] == 0:
            yield warning(NAME, f"{text}: the exitControl command ended it", start)
        case "BACKOFF":
            remedy = f"supervisorctl tail {GROUP}:{name}"
            yield failure(NAME, f"{text}: it exits right after its start", remedy)
        case _:
            yield failure(NAME, text, start)


def _judge_listener(programs: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Evaluate the archiver's event listener.

    A supervisord that was started with an older configuration does not have it.
    """
    states = [str(one["statename"]) for one in programs if one["group"] == LISTENER]
    if states and states[0] not in {"RUNNING", "STARTING"}:
        text = f"the event listener {LISTENER} is {states[0]}"
        effect = "alarms about processes are later and less precise"
        remedy = f"supervisorctl tail {LISTENER} stderr; supervisorctl start {LISTENER}"
        yield warning(NAME, f"{text}: {effect}", remedy)
