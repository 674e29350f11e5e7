"""supervisord's protocol for event listeners, and the buffer of events to record."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from supervisor import childutils

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_EVENTS = 100
"""Maximum number of buffered events while Redis is unavailable; four programs have few states."""

MAX_EVENT_BYTES = 1_000_000
"""Maximum size of an event in bytes. A state event has a hundred, so more is a protocol error."""


class Event(NamedTuple):
    """One event from supervisord; `at` is the Unix time of its arrival, UTC, in seconds."""

    name: str
    facts: dict[str, str]
    at: float

    @property
    def program(self) -> tuple[str | None, str | None]:
        """Group and name of the process."""
        return self.facts.get("groupname"), self.facts.get("processname")


class EventBuffer:
    """Buffer of the newest events.

    Beyond `MAX_EVENTS` events it drops the oldest one that is not the newest of its process.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._not_empty = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.dropped = 0
        """Number of events dropped before they were recorded."""

    def put(self, event: Event) -> None:
        """Add an event without waiting."""
        self._events.append(event)
        while len(self._events) > MAX_EVENTS:
            self._drop_one()
            self.dropped += 1
        self._not_empty.set()
        self._is_empty.clear()

    def _drop_one(self) -> None:
        # A process that fails again and again must not displace the last state of the others.
        newest = {event.program: index for index, event in enumerate(self._events)}
        oldest = next(
            (index for index, event in enumerate(self._events) if newest[event.program] != index), 0
        )
        del self._events[oldest]

    async def first(self) -> Event:
        """Wait for the oldest event and return it; it stays in the buffer until `remove`."""
        while not self._events:
            self._not_empty.clear()
            await self._not_empty.wait()
        return self._events[0]

    def remove(self, event: Event) -> None:
        """Remove an event that was recorded; it may have been dropped in the meantime."""
        if self._events and self._events[0] is event:
            self._events.popleft()
        if not self._events:
            self._is_empty.set()

    async def wait_until_empty(self) -> None:
        """Wait until the buffer is empty."""
        await self._is_empty.wait()


async def standard_input() -> asyncio.StreamReader:
    """Return a reader of standard input, which is a pipe from supervisord."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def listen(reader: asyncio.StreamReader, handle: Callable[[Event], None]) -> None:
    """Acknowledge each event to supervisord at once, and pass it on, until the pipe is closed.

    Raises
    ------
    ValueError
        If the input is not an event. Only a restart can synchronise with supervisord again.
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
            raise ValueError(
                f"supervisord's event begins with {line!r}, which is no event header"
            ) from error
        if not 0 <= length <= MAX_EVENT_BYTES:
            raise ValueError(
                f"supervisord's event {name} has {length} bytes; the maximum is {MAX_EVENT_BYTES}"
            )
        try:
            payload = (await reader.readexactly(length)).decode()
        except asyncio.IncompleteReadError:
            return
        childutils.listener.ok(sys.stdout)
        handle(Event(name, childutils.get_headers(payload.partition("\n")[0]), time.time()))
