"""A SAL observer with a deep history, for thousands of events within a second after an outage."""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Self

import dds
from lsst.ts import salobj
from lsst.ts.salobj.topics import RemoteEvent
from typing_extensions import override

from ccarchiver_sim.testbed.sal_observer import (
    CSC,
    ERROR_CODE,
    INGESTED,
    RETRIEVED,
    SUMMARY_STATE,
    SalEvent,
    SalObserver,
)

DEPTH = 20_000
"""Events that a reader holds: more than the 18 of each of 600 images. The default of DDS and of
salobj is 100 each."""
STATES_KEPT = 1
"""Number of summary states from before this observer; older ones are irrelevant."""


class Witness(SalObserver):
    """Observer that records the events of the CSC and commands it."""

    @override
    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            domain = await stack.enter_async_context(salobj.Domain())
            with _deep_readers(domain):
                self._csc = salobj.Remote(domain, CSC, include=[], start=False)
                stack.push_async_callback(self._csc.close)
                for topic, history in (
                    (SUMMARY_STATE, STATES_KEPT),
                    (ERROR_CODE, 0),
                    (RETRIEVED, 0),
                    (INGESTED, 0),
                ):
                    event = RemoteEvent(
                        self._csc.salinfo, topic, max_history=history, queue_len=DEPTH
                    )
                    event.callback = self._recorder(topic)
                    setattr(self._csc, f"evt_{topic}", event)
            await self._csc.start()
            self._stack = stack.pop_all()
        return self

    def after(self, mark: int) -> list[SalEvent]:
        """Return the events recorded since a position."""
        return self.events[mark:]


@contextmanager
def _deep_readers(domain: Any) -> Iterator[None]:  # noqa: ANN401 - salobj has no types
    """Set a deep history for the event readers that are made within the block."""
    qos = domain.event_qos_set.reader_qos
    kept = qos.history
    qos.set_policies([dds.HistoryQosPolicy(kept.kind, DEPTH)])
    try:
        yield
    finally:
        qos.set_policies([kept])
