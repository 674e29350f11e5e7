# ruff: noqa: T201 (the test reads what this prints)
"""Opens and closes many Domains with a Remote; prints its memory in kB early and at the end."""

import asyncio
import resource
import sys

from lsst.ts import salobj

EARLY = 5


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def main(count: int) -> None:
    for number in range(count):
        async with salobj.Domain() as domain:
            salobj.SalInfo(domain, "CCArchiver")
            salobj.Remote(domain, "CCArchiver", include=["summaryState", "errorCode"], start=False)
        if number == EARLY:
            print(memory())
    print(memory())


asyncio.run(main(int(sys.argv[1])))
