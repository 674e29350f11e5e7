"""Use of salobj by the benchmarks, apart from the simulators' own component."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import dds
from lsst.ts import salobj
from lsst.ts.salobj.topics import RemoteEvent
from typing_extensions import override

from ccarchiver_core.config.dds_environment import PARTITION
from ccarchiver_sim.testbed.environment import applied
from ccarchiver_sim.testbed.sal_observer import CSC, ERROR_CODE, SUMMARY_STATE, SalObserver

DEPTH = 50_000
"""Events that a reader holds, so that it loses none. The default of DDS and of salobj is 100."""

SampleCallback = Callable[[Any], None]
"""Callback with a sample; salobj's types are known only at run time."""


def floor_partition(partition: str) -> str:
    """Return the DDS partition of the floor; the archiver must not receive its events."""
    return f"{partition}floor"


class Listener:
    """Reader of the events of some components, by salobj's callbacks."""

    def __init__(self, domain: salobj.Domain, stack: AsyncExitStack) -> None:
        self._domain = domain
        self._stack = stack

    async def listen(
        self, component: str, partition: str, callbacks: Mapping[str, SampleCallback]
    ) -> None:
        """Subscribe to events of a component; the callback is called with each, in sequence."""
        with applied({PARTITION: partition}):
            remote = salobj.Remote(self._domain, component, readonly=True, include=[], start=False)
        self._stack.push_async_callback(remote.close)
        qos = self._domain.event_qos_set.reader_qos
        previous = qos.history
        qos.set_policies([dds.HistoryQosPolicy(previous.kind, DEPTH)])
        try:
            for topic, callback in callbacks.items():
                event = RemoteEvent(remote.salinfo, topic, max_history=0, queue_len=DEPTH)
                event.callback = callback
                setattr(remote, f"evt_{topic}", event)
        finally:
            qos.set_policies([previous])
        await remote.start()


@asynccontextmanager
async def listener() -> AsyncIterator[Listener]:
    """Join DDS as a reader for the time of a block."""
    async with AsyncExitStack() as stack:
        domain = await stack.enter_async_context(salobj.Domain())
        yield Listener(domain, stack)


class Commander(SalObserver):
    """Observer that reads only the CSC's state and errors, so that its event loop stays idle."""

    @override
    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            domain = await stack.enter_async_context(salobj.Domain())
            topics = (SUMMARY_STATE, ERROR_CODE)
            self._csc = salobj.Remote(domain, CSC, include=topics)
            stack.push_async_callback(self._csc.close)
            for topic in topics:
                getattr(self._csc, f"evt_{topic}").callback = self._recorder(topic)
            await self._csc.start_task
            self._stack = stack.pop_all()
        return self
