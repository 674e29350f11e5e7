"""Check of the status page: whether it answers, or another program has its port."""

from __future__ import annotations

import http.client
import shlex
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import NotCheckedError, ok, warning
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_core.base.host import host_name
from ccarchiver_core.keys import Worker
from ccarchiver_core.log.logs import FILE_PREFIX
from ccarchiver_core.runtime.heartbeat import read_heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.runtime.heartbeat import Heartbeat

NAME = "page"

LIMIT_S = 5.0
"""Timeout of one request in seconds; a complete reading takes a tenth of a second."""

OURS = "ccarchiver"
"""Name of the page in its Server header."""


def check(site: Site) -> Iterator[Finding]:
    """Check whether our status page answers.

    Without the page every image is archived all the same, so the findings are warnings.
    """
    settings = site.settings
    host, port = settings.status_host, settings.status_port
    if port == 0:
        yield ok(NAME, "switched off, as are the metrics (STATUS_PORT 0)")
        return
    address = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  only compared
    connection = http.client.HTTPConnection(address, port, timeout=LIMIT_S)
    try:
        connection.request("HEAD", "/")
        server = connection.getresponse().getheader("Server", "")
    except (OSError, http.client.HTTPException) as error:
        elsewhere = _active_host(site)
        if elsewhere:
            yield ok(NAME, f"on {elsewhere}, where the health worker is active")
            return
        yield warning(
            NAME,
            f"the status page at {host}:{port} {_failure(error)}",
            f"is ccarchiver:health running? Its log has the reason: {_show_log(settings.log_dir)}",
        )
        return
    finally:
        connection.close()
    if server != OURS:
        yield warning(
            NAME,
            f"another program answers at {host}:{port} ({server or 'no Server header'})",
            f"ss -ltnp sport = :{port} shows it; "
            "stop it, or set STATUS_PORT and supervisorctl restart ccarchiver:*",
        )
        return
    yield ok(NAME, f"the status page and the metrics are at http://{host}:{port}/")


def _show_log(log_dir: Path | None) -> str:
    """Return the command that shows the lines about the page in the log of health."""
    if log_dir is None:
        return "supervisorctl tail ccarchiver:health"
    file = log_dir / f"{FILE_PREFIX}{Worker.HEALTH}.log"
    return f"grep 'page\\.' {shlex.quote(str(file))}"


def _failure(error: OSError | http.client.HTTPException) -> str:
    match error:
        case ConnectionRefusedError():
            return "refused the connection (nothing listens there)"
        case TimeoutError():
            return f"does not answer within {LIMIT_S:g} s"
        case OSError(strerror=str(reason)):
            return f"cannot be reached: {reason}"
        case _:
            return f"does not answer in HTTP: {str(error) or type(error).__name__}"


def _active_host(site: Site) -> str:
    """Return the other of two hosts if the health worker is active there.

    The result is empty if it is not, or if that is unknown.
    """
    if not site.settings.standby:
        return ""
    try:
        heartbeat = query(site.settings, read_health)
    except NotCheckedError:  # the check of Redis reports the reason
        return ""
    return heartbeat.host if heartbeat is not None and heartbeat.host != host_name() else ""


async def read_health(redis: Redis) -> Heartbeat | None:
    """Return the heartbeat of the health worker."""
    return await read_heartbeat(redis, Worker.HEALTH)
