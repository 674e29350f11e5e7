"""A TCP proxy in front of a broker, which can simulate network faults."""

import asyncio
import enum
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

CHUNK_BYTES = 65_536
"""Size of one read; asyncio's streams buffer as much."""
SLICE_BYTES = 64
"""Below the size of every relevant AMQP method and Redis reply, so that each arrives in pieces."""
SLOW_S = 0.1
"""Delay of each chunk in each direction: that of a line around half the Earth, or of an overloaded
one."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""Value of SO_LINGER (on, 0 s) with which close sends RST instead of FIN."""


class Mode(enum.StrEnum):
    """Behaviour of the proxy."""

    PASS = "pass"  # noqa: S105 - not a password
    """Forward everything immediately."""
    CUT = "cut"
    """Close every connection, and each new one when it is accepted."""
    RESET = "reset"
    """Close connections with RST: data in transit is discarded."""
    SLOW = "slow"
    """Forward everything with a delay."""
    SLICES = "slices"
    """Forward everything in pieces of 64 bytes."""
    HALF_OPEN = "half_open"
    """Keep connections open and accept new ones, but forward nothing, as a host after a power
    failure."""


class _Pipe:
    """The connection of one client and the corresponding connection to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._writers = (client, server)

    def close(self) -> None:
        """Close both with FIN."""
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        """Close both with RST."""
        for writer in self._writers:
            reset(writer)


class TcpProxy:
    """A proxy from one port of the loopback interface to another.

    Parameters
    ----------
    port
        Port on which to listen.
    target
        The server's port on the loopback interface.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._mode = Mode.PASS
        self._pipes: set[_Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._replies_to_drop = 0

    @property
    def mode(self) -> Mode:
        """Present behaviour."""
        return self._mode

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._pipes)

    def set_mode(self, mode: Mode) -> None:
        """Change the behaviour, also for open connections."""
        before, self._mode = self._mode, mode
        if mode is Mode.CUT:
            self._end_all(_Pipe.close)
        # The data that a half-open connection has dropped is missing from its stream: no real
        # connection would continue after that.
        elif mode is Mode.RESET or (before is Mode.HALF_OPEN and mode is not Mode.HALF_OPEN):
            self._end_all(_Pipe.reset)

    def redirect(self, target: int) -> None:
        """Lead to another server, as an address that moves to it does; connections end with RST."""
        self._target = target
        self._end_all(_Pipe.reset)

    def drop_replies(self, count: int = 1) -> None:
        """Drop the next replies of the server, each together with its connection.

        The server has processed the request.
        """
        self._replies_to_drop += count

    @property
    def replies_to_drop(self) -> int:
        """Number of replies that are still to be dropped."""
        return self._replies_to_drop

    async def start(self) -> None:
        """Start to listen."""
        self._server = await asyncio.start_server(self._on_client, LOOPBACK, self.port)

    async def close(self) -> None:
        """End all connections and stop listening; safe to repeat."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._end_all(_Pipe.reset)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.CUT:
            writer.close()
            return
        if self._mode is Mode.RESET:
            reset(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            # The server does not listen: the client gets a reset.
            reset(writer)
            return
        pipe = _Pipe(writer, server_writer)
        self._pipes.add(pipe)
        pumps = {
            asyncio.create_task(self._pump(reader, server_writer, pipe, is_reply=False)),
            asyncio.create_task(self._pump(server_reader, writer, pipe, is_reply=True)),
        }
        self._tasks |= pumps
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Neither broker's protocol continues after one side has closed.
            pipe.close()
            self._pipes.discard(pipe)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks -= pumps

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pipe: _Pipe,
        *,
        is_reply: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if is_reply and self._replies_to_drop > 0 and self._mode is not Mode.HALF_OPEN:
                    self._replies_to_drop -= 1
                    pipe.reset()
                    return
                await self._carry(data, writer)

    async def _carry(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        match self._mode:
            case Mode.PASS | Mode.CUT | Mode.RESET:
                writer.write(data)
            case Mode.SLOW:
                await asyncio.sleep(SLOW_S)
                writer.write(data)
            case Mode.SLICES:
                for start in range(0, len(data), SLICE_BYTES):
                    writer.write(data[start : start + SLICE_BYTES])
                    # The other side can read this piece before the next one arrives.
                    await asyncio.sleep(0)
            case Mode.HALF_OPEN:
                return
        await writer.drain()

    def _end_all(self, how: Callable[[_Pipe], None]) -> None:
        for pipe in list(self._pipes):
            how(pipe)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
