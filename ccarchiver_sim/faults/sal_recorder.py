"""The rig's observer with room for what comes after an outage: thousands of events within a second."""

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
"""Events a reader holds: more than the 18 of each of 600 images. DDS and salobj each hold 100 unless told."""
STATES_KEPT = 1
"""Of the states from before this observer; nothing older matters."""


class Witness(SalObserver):
    """Records what the CSC reports, and commands it."""

    @override
    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            domain = await stack.enter_async_context(salobj.Domain())
            with _deep_readers(domain):
                self._csc = salobj.Remote(domain, CSC, include=[], start=False)
                stack.push_async_callback(self._csc.close)
                for topic, history in ((SUMMARY_STATE, STATES_KEPT), (ERROR_CODE, 0), (RETRIEVED, 0), (INGESTED, 0)):
                    event = RemoteEvent(self._csc.salinfo, topic, max_history=history, queue_len=DEPTH)
                    event.callback = self._recorder(topic)
                    setattr(self._csc, f"evt_{topic}", event)
            await self._csc.start()
            self._stack = stack.pop_all()
        return self

    def after(self, mark: int) -> list[SalEvent]:
        """Return what was recorded since a mark."""
        return self.events[mark:]


@contextmanager
def _deep_readers(domain: Any) -> Iterator[None]:  # noqa: ANN401 - salobj has no types
    """Give the event readers made within the block a deep history."""
    qos = domain.event_qos_set.reader_qos
    kept = qos.history
    qos.set_policies([dds.HistoryQosPolicy(kept.kind, DEPTH)])
    try:
        yield
    finally:
        qos.set_policies([kept])
