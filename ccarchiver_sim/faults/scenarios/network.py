"""The network between the workers and a broker."""

import itertools
from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.proxy import Mode, TcpProxy
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario

ABOUT = {
    Mode.CUT: "is cut: connections are closed, new ones too",
    Mode.RESET: "is reset: connections end with RST, new ones too",
    Mode.HALF_OPEN: "is half-open: connections stay, nothing is carried",
    Mode.SLOW: "is slow: 0.1 s more each way",
    Mode.SLICES: "carries pieces of 64 bytes",
}
TARGETS = (("redis", "rabbitmq"), ("redis",), ("rabbitmq",))
"""Whose network it is, round by round: first both, as when the workers' own line fails."""
REPLIES_LOST = 3
"""In one round; each costs the connection."""


class NetworkFault(Scenario):
    """The network to both brokers, or to one, in one mode of the proxy.

    Parameters
    ----------
    mode
        What the proxies do.
    """

    outages: tuple[float, ...] = tuple(outage for outage in OUTAGES_S for _ in TARGETS)

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self._mode = mode
        self._targets = itertools.cycle(TARGETS)
        self.name = f"network-{mode.replace('_', '-')}"
        self.about = f"the network to Redis, RabbitMQ, or both {ABOUT[mode]}, for 1, 5, 30 (and 120) s"

    @override
    async def inject(self, stage: Stage) -> None:
        target = next(self._targets)
        self.notes.append(" and ".join(target))
        for broker in target:
            proxy_of(stage, broker).set_mode(self._mode)

    @override
    async def heal(self, stage: Stage) -> None:
        for proxy in (stage.redis_proxy, stage.rabbit_proxy):
            proxy.set_mode(Mode.PASS)


class LostReplies(Scenario):
    """Replies that are lost with their connection: what was asked for was done, and nobody knows."""

    name = "network-lost-replies"
    about = "replies of Redis, RabbitMQ, or both are lost with their connection, after the request was carried out"
    outages: tuple[float, ...] = (1.0,) * len(TARGETS)

    def __init__(self) -> None:
        super().__init__()
        self._targets = itertools.cycle(TARGETS)

    @override
    async def inject(self, stage: Stage) -> None:
        target = next(self._targets)
        self.notes.append(" and ".join(target))
        for broker in target:
            proxy_of(stage, broker).drop_replies(REPLIES_LOST)


def proxy_of(stage: Stage, broker: str) -> TcpProxy:
    """Return the proxy in front of a broker."""
    return stage.redis_proxy if broker == "redis" else stage.rabbit_proxy


SCENARIOS = [*(partial(NetworkFault, mode) for mode in ABOUT), LostReplies]
