"""An address that always leads to the master of a Redis group, as a site has for its Forwarders."""

import asyncio

from ccarchiver_sim.faults.proxy import TcpProxy
from ccarchiver_sim.testbed.brokers.redis_group import RedisGroup

POLL_S = 0.05
"""Time between two queries of the Sentinels: far below the time of a failover."""


async def follow_master(group: RedisGroup, proxy: TcpProxy) -> None:
    """Lead a proxy to each promoted server until cancelled.

    Deployed Forwarders know no Sentinels: they have one address, which must lead to the master.
    """
    target = group.first.port
    while True:
        if (found := await group.master_port()) != target:
            target = found
            proxy.redirect(target)
        await asyncio.sleep(POLL_S)
