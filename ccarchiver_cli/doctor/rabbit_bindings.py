"""Check of the bindings of the queues.

Only rabbitmqctl shows them. The check is optional, because not every user may run rabbitmqctl.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import NotCheckedError, failure, ok
from ccarchiver_cli.doctor.rabbit_queues import RESTART_BRIDGE
from ccarchiver_core.amqp.topology import EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

PROGRAM = "rabbitmqctl"

PROGRAM_LIMIT = 50.0
"""Timeout of rabbitmqctl in seconds.

It usually takes a second and a half, most of it to start Erlang.
"""

LIMIT = PROGRAM_LIMIT + 5.0
"""Timeout of the check in seconds."""


def check(site: Site) -> Iterator[Finding]:
    """Check on this host's RabbitMQ whether each queue is bound to the exchange by its own name."""
    settings = site.settings
    bound = _bound(settings.vhost)
    name = "rabbitmq.bindings"
    missing = sorted(settings.queues - bound)
    for queue in missing:
        yield failure(
            name,
            f"{queue} is not bound to the exchange {EXCHANGE}: peers' messages are lost",
            RESTART_BRIDGE,
        )
    if not missing:
        yield ok(
            name,
            f"each of the {len(settings.queues)} queues is bound to {EXCHANGE} by its own name",
        )


def _bound(vhost: str) -> set[str]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise NotCheckedError(f"no program {PROGRAM} on the PATH of this host")
    columns = ("source_name", "destination_name", "routing_key")
    argv = [program, "-q", "--formatter", "json", "list_bindings", "-p", vhost, *columns]
    try:
        done = subprocess.run(  # noqa: S603
            argv, capture_output=True, text=True, timeout=PROGRAM_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotCheckedError(f"{PROGRAM} did not end within {PROGRAM_LIMIT:g} s") from None
    if done.returncode != 0:
        output = " ".join((done.stderr or done.stdout).split())
        raise NotCheckedError(f"{PROGRAM} ended with {done.returncode}: {output}")
    rows = json.loads(done.stdout)
    return {
        row["destination_name"]
        for row in rows
        if row["source_name"] == EXCHANGE and row["routing_key"] == row["destination_name"]
    }
