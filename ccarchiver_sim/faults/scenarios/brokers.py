"""Scenarios in which Redis or RabbitMQ is stopped, killed or frozen, and started again."""

from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.testbed.brokers.server import PrivateServer

STOPPED, KILLED, FROZEN = "stopped", "killed", "frozen"
ABOUT = {
    STOPPED: "is stopped cleanly",
    KILLED: "is killed and loses the data that it had not written",
    FROZEN: "hangs: its connections stay open, but it answers no request",
}


class BrokerAway(Scenario):
    """One broker, unavailable for one reason.

    Parameters
    ----------
    broker
        ``redis`` or ``rabbitmq``.
    how
        Reason: ``stopped``, ``killed`` or ``frozen``.
    """

    outages: tuple[float, ...] = OUTAGES_S

    def __init__(self, broker: str, how: str) -> None:
        super().__init__()
        self._broker = broker
        self._how = how
        self.name = f"{broker}-{how}"
        self.about = f"{broker} {ABOUT[how]}, for 1, 5, 30 (and 120) s"

    @override
    async def inject(self, stage: Stage) -> None:
        server = self._server(stage)
        match self._how:
            case "stopped":
                await stage.rig.stop_broker(server)
            case "killed":
                server.kill()
            case _:
                server.freeze()

    @override
    async def heal(self, stage: Stage) -> None:
        server = self._server(stage)
        if self._how == FROZEN:
            server.thaw()
        else:
            await stage.rig.start_broker(server)

    def _server(self, stage: Stage) -> PrivateServer:
        return stage.rig.redis if self._broker == "redis" else stage.rig.rabbit


SCENARIOS = [partial(BrokerAway, broker, how) for broker in ("redis", "rabbitmq") for how in ABOUT]
