"""Scenarios with a second instance of a worker, and with frozen or hanging workers."""

import asyncio
import signal

from typing_extensions import override

from ccarchiver_core.keys import Worker
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import WORKER_PARTS, Part
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.services import Service
from ccarchiver_sim.faults.timing import PAST_LEASE_S
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.child_process import ChildProcess
from ccarchiver_sim.testbed.supervisor import WORKERS

END_LIMIT_S = 90.0
"""Limit for a second instance to detect the first; on a busy machine, imports take most of it."""
HUNG_LIMIT_S = 90.0
"""More than WATCHDOG_TIMEOUT and the start of the new process."""


def second_instance(testbed: FaultTestbed, worker: str) -> ChildProcess:
    """Return another instance of a worker; start it from the main thread."""
    name = f"second-{worker}"
    log = testbed.rig.folder.logs / f"{name}.out"
    return ChildProcess(
        name, [f"run_ccarchiver_{worker}"], env=testbed.rig.worker_env, log_path=log
    )


async def stop(instance: ChildProcess) -> None:
    """End an instance without blocking the event loop, which carries its traffic to Redis."""
    await asyncio.to_thread(instance.stop, END_LIMIT_S)


class SecondInstance(Scenario):
    """A second instance of each worker is started by hand."""

    name = "second-instance"
    about = (
        "a second instance of each worker starts: it names the running one and ends; "
        "the first continues"
    )
    parts = frozenset({Part.SECOND_INSTANCES})

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        await asyncio.gather(*(self._start(testbed, worker) for worker in WORKERS))

    async def _start(self, testbed: FaultTestbed, worker: str) -> None:
        holder = testbed.worker_pid(worker)
        second = second_instance(testbed, worker)
        second.start()
        try:
            await polling.wait_for(
                lambda: not second.is_running or self._is_replaced(testbed, worker, holder),
                END_LIMIT_S,
                f"the second {worker} to end",
            )
        except polling.WaitError as error:
            self.failures.append(str(error))
        finally:
            await stop(second)
        if not self.is_alone:
            # With another fault the first can lose its lease, and then the second continues.
            return
        self.expect(
            condition=second.exit_code not in {0, None}, otherwise=f"second {worker}: ended with 0"
        )
        self.expect(
            condition=f"pid {holder}" in second.tail(),
            otherwise=f"second {worker}: does not name {holder}",
        )
        self.expect(
            condition=testbed.worker_pid(worker) == holder, otherwise=f"the first {worker} ended"
        )

    def _is_replaced(self, testbed: FaultTestbed, worker: str, holder: int | None) -> bool:
        return not self.is_alone and testbed.worker_pid(worker) != holder


class FrozenPastLease(Scenario):
    """A worker is frozen until another instance has its lease, and then continues."""

    name = "worker-frozen"
    about = (
        "each worker is frozen past its lease, another instance takes over, "
        "the first continues and ends"
    )
    outages: tuple[float, ...] = (PAST_LEASE_S,) * len(WORKERS)
    variants: tuple[str, ...] = WORKERS
    heal_needs = frozenset({Service.REDIS})

    def __init__(self) -> None:
        super().__init__()
        self._left: list[str] = []
        self._worker = ""
        self._pid: int | None = None

    @override
    def parts_of(self, variant: str) -> frozenset[Part]:
        return frozenset({WORKER_PARTS[variant], Part.SECOND_INSTANCES})

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        self._worker = self.variant or next_of(WORKERS, self._left, testbed)
        self.notes.append(self._worker)
        self._pid = testbed.signal_worker(self._worker, signal.SIGSTOP)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        second = second_instance(testbed, self._worker)
        second.start()
        try:
            await polling.wait_for_async(
                lambda: self._is_over(testbed, second.pid),
                END_LIMIT_S,
                "the second to get the lease",
            )
            testbed.signal_worker(self._worker, signal.SIGCONT)
            await polling.wait_for(
                lambda: testbed.worker_pid(self._worker) != self._pid,
                END_LIMIT_S,
                f"the first {self._worker} to detect that it was replaced, and to end",
            )
        except polling.WaitError as error:
            self.failures.append(str(error))
        finally:
            if testbed.worker_pid(self._worker) == self._pid:
                testbed.signal_worker(self._worker, signal.SIGCONT)
            await stop(second)

    async def _is_over(self, testbed: FaultTestbed, second: int) -> bool:
        # With another fault the worker can be frozen for so long that the watchdog ends it.
        is_ended = not self.is_alone and testbed.worker_pid(self._worker) != self._pid
        return is_ended or await self._leads(testbed, second)

    async def _leads(self, testbed: FaultTestbed, pid: int) -> bool:
        async with testbed.redis() as client:
            holder = await client.get(Worker(self._worker).lease)
        return holder is not None and f'"pid": {pid},' in holder


class Hung(Scenario):
    """A worker hangs permanently: its process exists, but sends no heartbeat."""

    name = "worker-hung"
    about = (
        "each worker hangs: health kills it, or the bridge kills health; "
        "supervisord starts it again"
    )
    ends_at_once = True
    outages: tuple[float, ...] = (0.0,) * len(WORKERS)
    variants: tuple[str, ...] = WORKERS

    def __init__(self) -> None:
        super().__init__()
        self._left: list[str] = []

    @override
    def parts_of(self, variant: str) -> frozenset[Part]:
        return frozenset({WORKER_PARTS[variant]})

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        worker = self.variant or next_of(WORKERS, self._left, testbed)
        self.notes.append(worker)
        pid = testbed.signal_worker(worker, signal.SIGSTOP)
        try:
            await polling.wait_for(
                lambda: testbed.worker_pid(worker) not in {None, pid}, HUNG_LIMIT_S, "a new process"
            )
        except polling.WaitError as error:
            self.failures.append(f"{worker} hung: {error}")
            testbed.signal_worker(worker, signal.SIGCONT)


def next_of(all_of_them: tuple[str, ...], left: list[str], testbed: FaultTestbed) -> str:
    """Return a random item that was not chosen before, until all were."""
    if not left:
        left += all_of_them
        testbed.random.shuffle(left)
    return left.pop()


SCENARIOS = [SecondInstance, FrozenPastLease, Hung]
