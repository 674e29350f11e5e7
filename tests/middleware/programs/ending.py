# ruff: noqa: T201 (the test reads what this prints)
"""A salobj program that does not close what it opened, and ends in the way its argument names."""

import asyncio
import sys

from lsst.ts import salobj

EVENTS = ["summaryState", "heartbeat"]


async def main(way: str) -> None:
    domain = salobj.Domain()
    remote = salobj.Remote(domain, "CCArchiver", include=EVENTS)
    if way == "while settling":
        asyncio.get_running_loop().call_later(0.1, print, "started")
        await remote.start_task
    await remote.start_task
    await asyncio.sleep(0.1)  # let the read loop begin to wait
    print("started")
    sys.stdin.readline() if way != "interrupt" else await asyncio.sleep(60)
    if way == "exception":
        raise RuntimeError("on purpose")
    if way == "exit":
        sys.exit(3)


if __name__ == "__main__":
    if sys.argv[1] == "no cancelling":
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main("return"))
    else:
        asyncio.run(main(sys.argv[1]))
