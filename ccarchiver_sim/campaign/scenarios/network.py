"""The network between the workers and a broker."""

from functools import partial

from typing_extensions import override

from ccarchiver_sim.campaign.proxy import Mode, TcpProxy
from ccarchiver_sim.campaign.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.campaign.stage import Stage

ABOUT = {
    Mode.CUT: "is cut: connections are closed, new ones too",
    Mode.RESET: "is reset: connections end with RST, new ones too",
    Mode.HALF_OPEN: "is half-open: connections stay, nothing is carried",
    Mode.SLOW: "is slow: 0.1 s more each way",
    Mode.SLICES: "carries pieces of 64 bytes",
}
REPLIES_LOST = 3
"""In one round; each costs the connection."""


class NetworkFault(Scenario):
    """The network to one broker, in one mode of the proxy.

    Parameters
    ----------
    broker
        ``redis`` or ``rabbitmq``.
    mode
        What the proxy does.
    """

    outages: tuple[float, ...] = OUTAGES_S

    def __init__(self, broker: str, mode: Mode) -> None:
        super().__init__()
        self._broker = broker
        self._mode = mode
        self.name = f"{broker}-network-{mode.replace('_', '-')}"
        self.about = f"the network to {broker} {ABOUT[mode]}, for 1, 5, 30 (and 120) s"

    @override
    async def inject(self, stage: Stage) -> None:
        proxy_of(stage, self._broker).set_mode(self._mode)

    @override
    async def heal(self, stage: Stage) -> None:
        proxy_of(stage, self._broker).set_mode(Mode.PASS)


class LostReply(Scenario):
    """Replies that are lost with their connection: what was asked for was done, and nobody knows.

    Parameters
    ----------
    broker
        ``redis`` or ``rabbitmq``.
    """

    outages: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __init__(self, broker: str) -> None:
        super().__init__()
        self._broker = broker
        self.name = f"{broker}-lost-replies"
        self.about = f"replies of {broker} are lost with their connection, after the request was carried out"

    @override
    async def inject(self, stage: Stage) -> None:
        proxy_of(stage, self._broker).drop_replies(REPLIES_LOST)


def proxy_of(stage: Stage, broker: str) -> TcpProxy:
    """Return the proxy in front of a broker."""
    return stage.redis_proxy if broker == "redis" else stage.rabbit_proxy


SCENARIOS = [
    *(partial(NetworkFault, broker, mode) for broker in ("redis", "rabbitmq") for mode in ABOUT),
    *(partial(LostReply, broker) for broker in ("redis", "rabbitmq")),
]
