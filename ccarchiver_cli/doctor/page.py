"""Whether the status page is there, or another program has its port."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import NotCheckedError, ok, warning
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_core.base.host import host_name
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.runtime.heartbeat import Heartbeat

NAME = "page"

LIMIT_S = 5.0
"""For one request on this host; a whole reading takes a tenth of a second."""

OURS = "ccarchiver"
"""What the page calls itself in its Server header."""


def check(site: Site) -> Iterator[Finding]:
    """Ask the page whether it is ours; that it is missing keeps no image from being archived."""
    settings = site.settings
    host, port = settings.status_host, settings.status_port
    if port == 0:
        yield ok(NAME, "switched off (STATUS_PORT 0), and the metrics with it")
        return
    asked = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not listened to
    connection = http.client.HTTPConnection(asked, port, timeout=LIMIT_S)
    try:
        connection.request("HEAD", "/")
        server = connection.getresponse().getheader("Server", "")
    except (OSError, http.client.HTTPException) as error:
        elsewhere = _active_host(site)
        if elsewhere:
            yield ok(NAME, f"on {elsewhere}, as long as the health worker is active there")
            return
        why = str(error) or type(error).__name__
        yield warning(
            NAME,
            f"nothing answers as the status page at {host}:{port}: {why}",
            "is ccarchiver:health running? Its log says why the page is not there: grep 'page\\.' health.out",
        )
        return
    finally:
        connection.close()
    if server != OURS:
        yield warning(
            NAME,
            f"another program answers at {host}:{port} ({server or 'it does not say which'})",
            f"ss -ltnp sport = :{port} shows it; end it, or set STATUS_PORT and restart ccarchiver:health",
        )
        return
    yield ok(NAME, f"the status page and the metrics are at http://{host}:{port}/")


def _active_host(site: Site) -> str:
    """Give the other of two hosts if the health worker is at work there; empty if it is not, or not known."""
    if not site.settings.standby:
        return ""
    try:
        heartbeat = query(site.settings, read_health)
    except NotCheckedError:  # the check of Redis says why
        return ""
    return heartbeat.host if heartbeat is not None and heartbeat.host != host_name() else ""


async def read_health(redis: Redis) -> Heartbeat | None:
    """Read the health worker's signs of life."""
    return await read_heartbeat(redis, Worker.HEALTH)
