"""Salobj programs that close nothing and exit in different ways.

They are forked from this process, which imports salobj once and does not use DDS itself. Each
prints ``started``, its way and its process id, and continues when it reads one byte or is
interrupted. This process prints ``ended``, the way and the exit code.
"""

import asyncio
import os
import sys

from ts_dds_cyclone import history, jobs

from ccarchiver_core.runtime.stub_unused_imports import stubbed_imports

with stubbed_imports():
    from lsst.ts import salobj

EVENTS = ["summaryState", "heartbeat"]
FOR_EVER = 1e6
POLL_S = 0.01


async def main(way: str) -> None:
    if way == "while settling":
        history.SETTLE_PARTICIPANT = FOR_EVER
        os.environ["LSST_DDS_HISTORYSYNC"] = str(FOR_EVER)
    domain = salobj.Domain()
    remote = salobj.Remote(domain, "CCArchiver", include=EVENTS)
    while not jobs._known_jobs:  # noqa: ASYNC110 (nothing notifies of it)
        await asyncio.sleep(POLL_S)
    if way == "while settling":
        report(f"started {way}: {os.getpid()}")
    await remote.start_task
    while not remote.salinfo._waitset._jobs._had_job:  # noqa: ASYNC110 (likewise)
        await asyncio.sleep(POLL_S)
    report(f"started {way}: {os.getpid()}")
    if way == "interrupt":
        await asyncio.sleep(FOR_EVER)
    os.read(sys.stdin.fileno(), 1)
    if way == "exception":
        raise RuntimeError("on purpose")
    if way == "exit":
        sys.exit(3)


def report(line: str) -> None:
    """Print a line by one call of the operating system, as several processes print at once."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def run(way: str) -> None:
    if way == "no cancelling":
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main(way))
    else:
        asyncio.run(main(way))


def fork_all(ways: list[str]) -> None:
    """Return in each child; in this process, report the ends of all and exit."""
    children: dict[int, str] = {}
    for way in ways:
        pid = os.fork()
        if pid == 0:
            run(way)
            return
        children[pid] = way
    while children:
        pid, status = os.wait()
        report(f"ended {children.pop(pid)}: {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    fork_all(sys.argv[1:])
