"""A proxy that drops a reply: the server executes the request, the client gets no result."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK = 65536


class LossyProxy:
    """Forwards bytes between clients and a server. Made with `lossy_proxy`."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._marker = b""
        self.serving: set[asyncio.Task[object]] = set()
        self.lost = 0
        """Number of replies dropped so far."""
        self.port = 0

    def lose_reply_to(self, marker: bytes) -> None:
        """Drop the reply to the next request with these bytes, and close the connection."""
        self._marker = marker

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        server, to_server = await asyncio.open_connection(LOOPBACK, self._upstream)
        drop_reply = asyncio.Event()

        async def requests() -> None:
            while chunk := await client.read(CHUNK):
                if self._marker and self._marker in chunk:
                    self._marker = b""
                    drop_reply.set()
                to_server.write(chunk)
                await to_server.drain()

        async def replies() -> None:
            while chunk := await server.read(CHUNK):
                if drop_reply.is_set():
                    self.lost += 1
                    return
                to_client.write(chunk)
                await to_client.drain()

        directions = {asyncio.create_task(requests()), asyncio.create_task(replies())}
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            to_client.close()
            to_server.close()
            await asyncio.gather(*directions, return_exceptions=True)
            for writer in (to_client, to_server):
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


@asynccontextmanager
async def lossy_proxy(upstream: int) -> AsyncIterator[LossyProxy]:
    """Forward to a port of this machine for the duration of a block."""
    proxy = LossyProxy(upstream)
    server = await asyncio.start_server(proxy.serve, LOOPBACK, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await server.wait_closed()
        for task in proxy.serving:
            task.cancel()
        await asyncio.gather(*proxy.serving, return_exceptions=True)
