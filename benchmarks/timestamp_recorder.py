"""The inside of a light helper process: it notes what comes, and hands its notes over only when it is asked to.

So nothing is written to a file or a pipe while something is measured.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping

from benchmarks.event_times import Receipt, now
from ccarchiver_sim.peers.common.runloop import say

TAKE = "take"
"""The command on which the notes are handed over; its value is a number that comes back with them."""
RECEIPTS = "receipts"
"""The event in which they come."""
LONGEST_LINE = 1 << 20
"""Of the standard input: commands have some ten bytes."""

Command = Callable[[object], Awaitable[None]]


class TimestampRecorder:
    """Notes taken and not yet handed over."""

    def __init__(self) -> None:
        self._items: list[Receipt] = []

    def note(self, kind: str, key: str, at: int | None = None) -> None:
        """Take a note, now if no time is given."""
        self._items.append((kind, key, now() if at is None else at))

    async def hand_over(self, number: object) -> None:
        """Write all notes in one line, and begin anew."""
        items, self._items = self._items, []
        say(RECEIPTS, number=number, items=items)


async def serve(commands: Mapping[str, Command], stop: asyncio.Event) -> None:
    """Carry out the commands that come on standard input, one JSON line each, until stopped or it ends."""
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
