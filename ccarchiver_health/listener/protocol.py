"""supervisord's protocol for event listeners, and the few events kept until they are told."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from supervisor import childutils

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = 100
"""Events kept while Redis is away; the newest count, and the four programs have few states."""

LONGEST_EVENT = 1_000_000
"""Bytes; an event of a state has a hundred. More means that the stream is out of step."""


class Event(NamedTuple):
    """One event as supervisord sends it, and when it came: Unix time, UTC, seconds."""

    name: str
    facts: dict[str, str]
    at: float

    @property
    def program(self) -> tuple[str | None, str | None]:
        """Whose event it is."""
        return self.facts.get("groupname"), self.facts.get("processname")


class EventBuffer:
    """The newest events; more than `KEPT` let the oldest go, but never the newest of a program."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self.dropped = 0
        """Events that went before they were told."""

    def put(self, event: Event) -> None:
        """Keep one; never waits."""
        self._events.append(event)
        while len(self._events) > KEPT:
            self._let_one_go()
            self.dropped += 1
        self._some.set()
        self._none.clear()

    def _let_one_go(self) -> None:
        # One that fails over and over must not drive out what is true of those that have long been quiet.
        newest = {event.program: at for at, event in enumerate(self._events)}
        oldest = next((at for at, event in enumerate(self._events) if newest[event.program] != at), 0)
        del self._events[oldest]

    async def first(self) -> Event:
        """Wait for the oldest; it stays until `done`."""
        while not self._events:
            self._some.clear()
            await self._some.wait()
        return self._events[0]

    def done(self, event: Event) -> None:
        """Let one go that was told; it may have been dropped meanwhile."""
        if self._events and self._events[0] is event:
            self._events.popleft()
        if not self._events:
            self._none.set()

    async def empty(self) -> None:
        """Wait until all are told."""
        await self._none.wait()


async def standard_input() -> asyncio.StreamReader:
    """Give a reader of standard input, which supervisord makes a pipe."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def listen(reader: asyncio.StreamReader, take: Callable[[Event], None]) -> None:
    """Answer supervisord at once, whatever becomes of the event, until it closes the pipe.

    Raises
    ------
    ValueError
        If what comes is no event: only a new start gets in step with supervisord again.
    """
    while True:
        childutils.listener.ready(sys.stdout)
        line = await reader.readline()
        if not line:
            return
        try:
            headers = childutils.get_headers(line.decode())
            name, length = headers["eventname"], int(headers["len"])
        except (KeyError, ValueError) as error:
            raise ValueError(f"supervisord's event begins with {line!r}, which no event does") from error
        if not 0 <= length <= LONGEST_EVENT:
            raise ValueError(f"supervisord's event {name} has {length} bytes; at most {LONGEST_EVENT} are an event")
        try:
            payload = (await reader.readexactly(length)).decode()
        except asyncio.IncompleteReadError:
            return
        childutils.listener.ok(sys.stdout)
        take(Event(name, childutils.get_headers(payload.partition("\n")[0]), time.time()))
