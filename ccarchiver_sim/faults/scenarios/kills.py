"""Scenarios in which workers are killed, at failpoints and at random times."""

import asyncio
import signal

from typing_extensions import override

from ccarchiver_sim.faults.catch_up import wait_until_caught_up
from ccarchiver_sim.faults.failpoints import POINTS
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import WORKER_PARTS, Part
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.supervisor import WORKERS

ANYWHERE = "anywhere"
ANYWHERE_SHARE = 4
"""One kill for this many failpoints is at a random time."""
REACH_LIMIT_S = 4.0
"""Limit for a worker to reach an armed failpoint: health writes a transaction every 3 s, the others
with every image."""
LONGEST_PAUSE_S = 2.0
"""Longest pause between a worker's restart and its next kill, so that some kills come before it has
recovered."""
MOST_OUTSTANDING = 25
"""Number of outstanding images above which the next kill waits. A topic's history has 100 events: a
CSC that is killed repeatedly before it has read them loses some, as any late joiner does. The
number is far below that, so that the events of the next absence fit as well, and so that the
simulated Forwarder, which processes seven images a second, does not determine the recovery time."""
BACK_LIMIT_S = 60.0
"""Limit for a new process; supervisord waits a second longer after each death within the first
second."""


class KillWorkers(Scenario):
    """Workers are killed at the same time, each at its own failpoint."""

    is_kill = True
    ends_at_once = True
    victims: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self._pids: dict[str, int] = {}
        self._decks: dict[str, list[str]] = {}

    @override
    def parts_of(self, variant: str) -> frozenset[Part]:
        return frozenset(WORKER_PARTS[worker] for worker in self.victims)

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        await asyncio.gather(*(self._kill(testbed, worker) for worker in self.victims))

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        for worker, pid in self._pids.items():
            await polling.wait_for(
                # Bound now because the loop continues; mypy takes a default for another signature.
                lambda worker=worker, pid=pid: testbed.worker_pid(worker) not in {None, pid},  # type: ignore[misc]
                BACK_LIMIT_S,
                f"a new process of {worker}",
            )
        await asyncio.sleep(testbed.random.uniform(0.0, LONGEST_PAUSE_S))
        testbed.observe()
        if len(testbed.oracle.outstanding(testbed.oracle.run)) > MOST_OUTSTANDING:
            await wait_until_caught_up(testbed)

    async def _kill(self, testbed: FaultTestbed, worker: str) -> None:
        point = self._draw(testbed, worker)
        await asyncio.sleep(testbed.random.uniform(0.0, 1.0 / self.rate))
        await polling.wait_for(
            lambda: testbed.worker_pid(worker) is not None, BACK_LIMIT_S, f"{worker} to run"
        )
        pid = testbed.worker_pid(worker)
        if pid is None:
            return
        self._pids[worker] = pid
        if point != ANYWHERE and not await self._kill_at(testbed, worker, point, pid):
            point = ANYWHERE
        if point == ANYWHERE and testbed.worker_pid(worker) == pid:
            testbed.signal_worker(worker, signal.SIGKILL)
        self.notes.append(f"{worker} at {point}")

    @staticmethod
    async def _kill_at(testbed: FaultTestbed, worker: str, point: str, pid: int) -> bool:
        """Arm a failpoint and return whether the worker died there."""
        testbed.arm(point)
        try:
            await polling.wait_for(
                lambda: testbed.worker_pid(worker) != pid, REACH_LIMIT_S, "the worker's death"
            )
        except polling.WaitError:
            return not testbed.disarm(point)
        return not testbed.disarm(point)

    def _draw(self, testbed: FaultTestbed, worker: str) -> str:
        """Return a random failpoint for the next kill; none is repeated before all were used."""
        deck = self._decks.setdefault(worker, [])
        if not deck:
            deck += [*POINTS[worker], *[ANYWHERE] * max(1, len(POINTS[worker]) // ANYWHERE_SHARE)]
            testbed.random.shuffle(deck)
        return deck.pop()


class KillSal(KillWorkers):
    """The CSC is killed."""

    name = "kill-sal"
    about = (
        "the CSC is killed at every boundary between an effect and its record, and at random times"
    )
    victims: tuple[str, ...] = ("sal",)


class KillBridge(KillWorkers):
    """The bridge is killed."""

    name = "kill-bridge"
    about = (
        "the bridge is killed at every boundary between an effect and its record, "
        "and at random times"
    )
    victims: tuple[str, ...] = ("bridge",)


class KillHealth(KillWorkers):
    """The health worker is killed."""

    name = "kill-health"
    about = (
        "health is killed at every boundary between an effect and its record, and at random times"
    )
    victims: tuple[str, ...] = ("health",)


class KillAll(KillWorkers):
    """All three workers are killed at about the same time."""

    name = "kill-all"
    about = "all three workers are killed within a second, each at its own failpoint"
    victims: tuple[str, ...] = WORKERS
    short_kills = 3


SCENARIOS = [KillSal, KillBridge, KillHealth, KillAll]
