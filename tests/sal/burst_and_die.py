"""A program that publishes statuses as the CSC does, and kills itself: ``port count pause pid``.

It prints the published events, one a line: image, tab, sensor. With a pause of 0 it kills itself
after the last event. With a longer pause it suspends Redis (``pid``), and kills itself after that
many seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, cast

from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal.status_publisher import StatusPublisher
from tests.core.redis_helpers import site

if TYPE_CHECKING:
    from ccarchiver_sal.adapter import TypedCsc

EVENT_MARK = "put "
"""Begins the line of an event; the other lines are of the log."""

PUT_TAKES_S = 0.0005
"""Approximate duration of a real put."""


class Listing:
    """Replaces the CSC and lists its events."""

    def __init__(self) -> None:
        self._put: list[str] = []

    async def put_event(self, topic: str, values: dict[str, str | int]) -> None:
        del topic
        self._put.append(f"{EVENT_MARK}{values['obsid']}\t{values['sensor']}\n")
        time.sleep(PUT_TAKES_S)  # noqa: ASYNC251  a real put occupies the event loop

    def die(self) -> None:
        sys.stdout.write("".join(self._put))
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)


async def main(port: int, count: int, pause: float) -> None:
    context, csc = WorkerContext(Worker.SAL, site(port)), Listing()
    await context.lease.acquire()
    publisher = StatusPublisher(context, cast("TypedCsc", csc))
    publisher.open()
    entries = await context.mailbox.read() or await context.mailbox.read()
    for obsid in {entry.message.obsid for entry in entries}:  # type: ignore[union-attr]  # all are statuses
        await publisher._published_of(obsid)  # the images are in the cache
    await context.transactions.apply(Transaction().count("begun"))
    if pause:
        os.kill(int(sys.argv[4]), signal.SIGSTOP)
        asyncio.get_running_loop().call_later(pause, csc.die)
    for entry in entries[:count]:
        await publisher.publish(entry.message, entry.id)  # type: ignore[arg-type]  # likewise
    csc.die()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
