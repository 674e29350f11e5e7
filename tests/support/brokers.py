"""Brokers shared by the tests of a session: started once, empty for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

FIRST_VHOSTS = 8
"""Made at the broker's start, 0.05 s each; a run of few tests needs no more."""
MORE_VHOSTS = 24
"""Made together when those are used up, in one command of 1.5 s."""


class VhostPool:
    """Hands out virtual hosts of a broker, each once: a vhost cannot be emptied without knowing its queues."""

    def __init__(self, rabbit: PrivateRabbit) -> None:
        self._rabbit = rabbit
        self._used = 0

    def take(self) -> str:
        """Return a virtual host nobody has used."""
        if self._used == len(self._rabbit.vhosts):
            self._rabbit.add_vhosts(*(vhost_name(self._used + more) for more in range(MORE_VHOSTS)))
        self._used += 1
        return self._rabbit.vhosts[self._used - 1]


def vhost_name(number: int) -> str:
    """Name of one virtual host; like the site's, it begins with a slash."""
    return f"/test_{number}"


def first_vhosts() -> list[str]:
    """Names of the virtual hosts that the shared broker starts with."""
    return [vhost_name(number) for number in range(FIRST_VHOSTS)]


def empty(server: PrivateRedis) -> None:
    """Remove everything from all databases of a Redis."""
    with redis.Redis(host=LOOPBACK, port=server.port) as client:
        client.flushall()
