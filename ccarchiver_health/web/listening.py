"""The sockets of the status page, which exist before its server is loaded."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence

BACKLOG = 128
"""Connections that wait to be accepted, as with asyncio's servers by default (100) or more."""


@asynccontextmanager
async def listening(host: str, port: int) -> AsyncIterator[list[socket.socket]]:
    """Listen on all addresses of a host for the time of a block, and accept nothing.

    Raises
    ------
    OSError
        If an address cannot be used.
    """
    loop = asyncio.get_running_loop()
    # asyncio resolves the name and binds; its server never starts.
    server = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
    with contextlib.ExitStack() as stack:
        try:
            sockets = [stack.enter_context(one.dup()) for one in server.sockets]
        finally:
            server.close()
        for one in sockets:
            one.settimeout(0.0)  # asyncio demands it
            one.listen(BACKLOG)
        yield sockets


async def first_connection(sockets: Sequence[socket.socket]) -> None:
    """Wait until a connection waits to be accepted."""
    loop, connected = asyncio.get_running_loop(), asyncio.Event()
    for one in sockets:
        loop.add_reader(one, connected.set)
    try:
        await connected.wait()
    finally:
        for one in sockets:
            loop.remove_reader(one)
