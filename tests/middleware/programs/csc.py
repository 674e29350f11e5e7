# ruff: noqa: T201 (the test reads what this prints)
"""A CCArchiver that only changes its state; it ends with exitControl."""

import asyncio
from typing import Any

from ccarchiver_core.runtime.stub_unused_imports import stubbed_imports

with stubbed_imports():
    from lsst.ts import salobj


class NullArchiver(salobj.BaseCsc):  # type: ignore[misc] # salobj is untyped for us
    """A CSC with only the standard commands."""

    valid_simulation_modes = (0,)
    version = "0"

    def __init__(self) -> None:
        super().__init__("CCArchiver", index=None, initial_state=salobj.State.STANDBY)

    async def do_resetFromFault(self, data: Any) -> None:  # noqa: N802, ANN401 (salobj's name)
        """Do nothing."""


async def main() -> None:
    async with NullArchiver() as csc:
        await csc.start_task
        print("started", flush=True)
        await csc.done_task


asyncio.run(main())
