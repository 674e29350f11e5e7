"""The example configuration of a Sentinel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from redis.asyncio import Redis

from ccarchiver_core.config.settings import Settings
from ccarchiver_sim.testbed.brokers import PrivateSentinel
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

CONFIGURATION = Path(__file__).parent.parent.parent / "deploy" / "redis-sentinel.conf"
OWN = re.compile(r"(port|dir|sentinel monitor) ")
"""Lines that a private Sentinel replaces."""


async def test_sentinel_configuration_starts_and_monitors_the_master_of_the_site_file(
    redis_server: PrivateRedis, tmp_path: Path
) -> None:
    lines = [
        line
        for line in CONFIGURATION.read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]
    master = Settings().sentinel_service_name
    assert any(line.startswith(f"sentinel monitor {master} ") for line in lines)
    ours = [line for line in lines if not OWN.match(line)]
    assert len(lines) == len(ours) + 3
    sentinel = PrivateSentinel(
        tmp_path, free_port(), master=master, master_port=redis_server.port, extra=ours
    )
    with sentinel:
        async with Redis(host=LOOPBACK, port=sentinel.port) as client:
            known = cast("dict[str, object]", await client.sentinel_master(master))
    assert (known["name"], known["port"], known["down-after-milliseconds"]) == (
        master,
        redis_server.port,
        5000,
    )
