"""A SAL observer of the CSC alone, without events from before it."""

from contextlib import AsyncExitStack
from typing import Self

from lsst.ts import salobj
from typing_extensions import override

from ccarchiver_core.sal_interface.deep_readers import deep_readers
from ccarchiver_sim.testbed.sal_observer import (
    CSC,
    DEPTH,
    ERROR_CODE,
    INGESTED,
    RETRIEVED,
    STATES_KEPT,
    SUMMARY_STATE,
    SalEvent,
    SalObserver,
)


class SalRecorder(SalObserver):
    """Observer that records the events of the CSC and commands it."""

    @override
    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            domain = await stack.enter_async_context(salobj.Domain())
            self._csc = salobj.Remote(domain, CSC, include=[], start=False)
            stack.push_async_callback(self._csc.close)
            with deep_readers(domain, DEPTH):
                self._record(self._csc, (SUMMARY_STATE,), history=STATES_KEPT)
                self._record(self._csc, (ERROR_CODE, RETRIEVED, INGESTED), history=0)
            await self._csc.start()
            self._stack = stack.pop_all()
        return self

    def after(self, position: int) -> list[SalEvent]:
        """Return the events recorded since a position."""
        return self.events[position:]
