"""Workers that die: at named places, and anywhere."""

import asyncio
import signal

from typing_extensions import override

from ccarchiver_sim.faults.catch_up import let_it_catch_up
from ccarchiver_sim.faults.failpoints import POINTS
from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.supervisor import WORKERS

ANYWHERE = "anywhere"
ANYWHERE_SHARE = 4
"""One kill in so many is at no named place."""
REACH_LIMIT_S = 4.0
"""For a worker to reach an armed place: health steps every 3 s, the others at every image."""
LONGEST_PAUSE_S = 2.0
"""After a worker is back and before it is killed again: now and then before it is whole."""
MOST_OUTSTANDING = 25
"""A topic's history has 100 events: a CSC that is killed again and again before it has read them loses some, as any
late joiner does. Well below, so that the next absence fits as well, and so that the simulated Forwarder, which makes
seven images a second, does not set the time of the recovery."""
BACK_LIMIT_S = 60.0
"""For a new process; supervisord waits a second more after each death within the first second."""


class KillWorkers(Scenario):
    """Kill workers, each at a place of its own, all at the same time."""

    is_kill = True
    ends_at_once = True
    victims: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self._pids: dict[str, int] = {}
        self._decks: dict[str, list[str]] = {}

    @override
    async def inject(self, stage: Stage) -> None:
        await asyncio.gather(*(self._kill(stage, worker) for worker in self.victims))

    @override
    async def heal(self, stage: Stage) -> None:
        for worker, pid in self._pids.items():
            await polling.wait_for(
                # bound now, as the loop goes on; mypy takes a default for another signature
                lambda worker=worker, pid=pid: stage.worker_pid(worker) not in {None, pid},  # type: ignore[misc]
                BACK_LIMIT_S,
                f"a new process of {worker}",
            )
        await asyncio.sleep(stage.random.uniform(0.0, LONGEST_PAUSE_S))
        stage.observe()
        if len(stage.oracle.outstanding(stage.oracle.run)) > MOST_OUTSTANDING:
            await let_it_catch_up(stage)

    async def _kill(self, stage: Stage, worker: str) -> None:
        point = self._draw(stage, worker)
        await asyncio.sleep(stage.random.uniform(0.0, 1.0 / self.rate))
        await polling.wait_for(lambda: stage.worker_pid(worker) is not None, BACK_LIMIT_S, f"{worker} to run")
        pid = stage.worker_pid(worker)
        if pid is None:
            return
        self._pids[worker] = pid
        if point != ANYWHERE and not await self._kill_at(stage, worker, point, pid):
            point = ANYWHERE
        if point == ANYWHERE and stage.worker_pid(worker) == pid:
            stage.signal_worker(worker, signal.SIGKILL)
        self.notes.append(f"{worker} at {point}")

    @staticmethod
    async def _kill_at(stage: Stage, worker: str, point: str, pid: int) -> bool:
        """Let a worker die at a place; False if it did not come there."""
        stage.arm(point)
        try:
            await polling.wait_for(lambda: stage.worker_pid(worker) != pid, REACH_LIMIT_S, "the worker's death")
        except polling.WaitError:
            return not stage.disarm(point)
        return not stage.disarm(point)

    def _draw(self, stage: Stage, worker: str) -> str:
        """Choose where to kill; no place comes again before all have been."""
        deck = self._decks.setdefault(worker, [])
        if not deck:
            deck += [*POINTS[worker], *[ANYWHERE] * max(1, len(POINTS[worker]) // ANYWHERE_SHARE)]
            stage.random.shuffle(deck)
        return deck.pop()


class KillSal(KillWorkers):
    """The CSC."""

    name = "kill-sal"
    about = "the CSC is killed, at every boundary between an effect and its record, and anywhere"
    victims: tuple[str, ...] = ("sal",)


class KillBridge(KillWorkers):
    """The bridge."""

    name = "kill-bridge"
    about = "the bridge is killed, at every boundary between an effect and its record, and anywhere"
    victims: tuple[str, ...] = ("bridge",)


class KillHealth(KillWorkers):
    """The health worker."""

    name = "kill-health"
    about = "the health worker is killed, at every boundary between an effect and its record, and anywhere"
    victims: tuple[str, ...] = ("health",)


class KillAll(KillWorkers):
    """All three, at about the same time."""

    name = "kill-all"
    about = "all three workers are killed within a second, each at a place of its own"
    victims: tuple[str, ...] = WORKERS
    short_kills = 3


SCENARIOS = [KillSal, KillBridge, KillHealth, KillAll]
