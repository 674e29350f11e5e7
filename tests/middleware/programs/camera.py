# ruff: noqa: T201 (the test reads what this prints)
"""A CCCamera that reads numbers and writes that many endReadout events for each."""

import asyncio
import sys

from ccarchiver_core.runtime.stub_unused_imports import stubbed_imports

with stubbed_imports():
    from lsst.ts import salobj


async def main() -> None:
    async with salobj.Controller("CCCamera") as camera:
        print("started")
        number = 0
        while line := await asyncio.to_thread(sys.stdin.readline):
            for _ in range(int(line)):
                camera.evt_endReadout.set_put(
                    imageNumber=number, imageName=f"CC_O_20261122_{number:06}"
                )
                number += 1
            print(number)


asyncio.run(main())
