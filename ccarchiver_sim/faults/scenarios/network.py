"""Scenarios with faults of the network between the workers and a broker."""

import itertools
from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.proxy import Mode, TcpProxy
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario

ABOUT = {
    Mode.CUT: "is cut: open and new connections are closed",
    Mode.RESET: "is reset: open and new connections end with RST",
    Mode.HALF_OPEN: "is half-open: connections stay open, but no data passes",
    Mode.SLOW: "is slow: 0.1 s more in each direction",
    Mode.SLICES: "splits data into pieces of 64 bytes",
}
BOTH = "redis and rabbitmq"
TARGETS = (BOTH, "redis", "rabbitmq")
"""Brokers with a network fault, round by round: first both, as when the workers' own line fails."""
LINES = {"redis": Part.REDIS_LINE, "rabbitmq": Part.RABBITMQ_LINE}
REPLIES_LOST = 3
"""Lost replies in one round; with each, its connection is lost."""


class NetworkFault(Scenario):
    """The network to one or both brokers has one fault of the proxy's modes.

    Parameters
    ----------
    mode
        Behaviour of the proxies.
    """

    outages: tuple[float, ...] = tuple(outage for outage in OUTAGES_S for _ in TARGETS)
    variants: tuple[str, ...] = TARGETS

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self._mode = mode
        self._proxies: list[TcpProxy] = []
        self._targets = itertools.cycle(TARGETS)
        self.name = f"network-{mode.replace('_', '-')}"
        self.about = (
            f"the network to Redis, RabbitMQ, or both {ABOUT[mode]}, for 1, 5, 30 (and 120) s"
        )

    @override
    def parts_of(self, variant: str) -> frozenset[Part]:
        return frozenset(line for broker, line in LINES.items() if broker in variant)

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        target = self.variant or next(self._targets)
        self.notes.append(target)
        self._proxies = proxies_of(testbed, target)
        for proxy in self._proxies:
            proxy.set_mode(self._mode)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        for proxy in self._proxies:
            proxy.set_mode(Mode.PASS)


class LostReplies(Scenario):
    """Replies are lost with their connection after the request was processed."""

    name = "network-lost-replies"
    about = (
        "replies of Redis, RabbitMQ, or both are lost with their connection, "
        "after the request was processed"
    )
    outages: tuple[float, ...] = (1.0,) * len(TARGETS)
    variants: tuple[str, ...] = TARGETS

    def __init__(self) -> None:
        super().__init__()
        self._targets = itertools.cycle(TARGETS)

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        target = self.variant or next(self._targets)
        self.notes.append(target)
        for proxy in proxies_of(testbed, target):
            proxy.drop_replies(REPLIES_LOST)


def proxies_of(testbed: FaultTestbed, target: str) -> list[TcpProxy]:
    """Return the proxies in front of the brokers that a target names."""
    proxies = {"redis": testbed.redis_proxy, "rabbitmq": testbed.rabbit_proxy}
    return [proxy for broker, proxy in proxies.items() if broker in target]


SCENARIOS = [*(partial(NetworkFault, mode) for mode in ABOUT), LostReplies]
