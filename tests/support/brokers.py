"""Brokers that the tests of a session share: started once, emptied for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

FIRST_VHOSTS = 8
"""Virtual hosts made when the broker starts, 0.05 s each; enough for a run of few tests."""
MORE_VHOSTS = 24
"""Virtual hosts made when those are used up, by one command of 1.5 s."""


class VhostPool:
    """Returns each virtual host once: emptying one would need the names of its queues."""

    def __init__(self, rabbit: PrivateRabbit) -> None:
        self._rabbit = rabbit
        self._used = 0

    def take(self) -> str:
        """Return an unused virtual host."""
        if self._used == len(self._rabbit.vhosts):
            self._rabbit.add_vhosts(*(vhost_name(self._used + more) for more in range(MORE_VHOSTS)))
        self._used += 1
        return self._rabbit.vhosts[self._used - 1]


def vhost_name(number: int) -> str:
    """Return the name of a virtual host, which begins with a slash as on a site."""
    return f"/test_{number}"


def first_vhosts() -> list[str]:
    """Return the names of the virtual hosts that the shared broker starts with."""
    return [vhost_name(number) for number in range(FIRST_VHOSTS)]


def empty(server: PrivateRedis) -> None:
    """Remove everything from all databases of a Redis."""
    with redis.Redis(host=LOOPBACK, port=server.port) as client:
        client.flushall()
