"""Recorder of times in a light helper process.

It writes the recorded times only on a command, so it writes to no file and no pipe during a
measurement.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping

from benchmarks.event_times import EventTime, now
from ccarchiver_sim.peers.common.runloop import print_event

COLLECT = "collect"
"""The command that requests the recorded times; its value, a number, is returned with them."""
EVENT_TIMES = "event_times"
"""The event that contains them."""
LONGEST_LINE = 1 << 20
"""Limit of a line on standard input; a command has some ten bytes."""

Command = Callable[[object], Awaitable[None]]


class TimestampRecorder:
    """Recorded times that are not yet written."""

    def __init__(self) -> None:
        self._items: list[EventTime] = []

    def record(self, kind: str, key: str, at: int | None = None) -> None:
        """Record one event, with the current time if none is given."""
        self._items.append((kind, key, now() if at is None else at))

    async def hand_over(self, number: object) -> None:
        """Write all recorded times in one line and forget them."""
        items, self._items = self._items, []
        print_event(EVENT_TIMES, number=number, items=items)


async def serve(commands: Mapping[str, Command], stop: asyncio.Event) -> None:
    """Execute commands from standard input, one JSON line each, until stopped or until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while True:
            line = asyncio.ensure_future(reader.readline())
            await asyncio.wait({line, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done() or not line.result():
                line.cancel()
                return
            for word, value in json.loads(line.result()).items():
                await commands[word](value)
    finally:
        stopping.cancel()
