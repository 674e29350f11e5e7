"""Each mode of the fault campaign's TCP proxy, with an echo server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.faults.proxy import SLICE_BYTES, SLOW_S, Mode, TcpProxy
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT_S = 5.0
SILENCE_S = 0.3
"""Time without data. An echo takes a millisecond; a slow machine can only hide a failure."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxied() -> AsyncIterator[TcpProxy]:
    target = free_port()
    server = await asyncio.start_server(echo, LOOPBACK, target)
    async with TcpProxy(free_port(), target) as proxy:
        yield proxy
    server.close()


@asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def echo_of(stream: Stream, text: bytes) -> bytes:
    reader, writer = stream
    writer.write(text)
    async with within(LIMIT_S):
        return await reader.readexactly(len(text))


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    async with within(LIMIT_S):
        return await reader.read()


async def test_proxy_passes_all_data_in_both_directions() -> None:
    async with proxied() as proxy, connected(proxy) as stream:
        assert await echo_of(stream, b"hello") == b"hello"
        big = bytes(range(256)) * 4000
        assert await echo_of(stream, big) == big
        assert proxy.connections == 1


async def test_cut_mode_closes_open_and_new_connections() -> None:
    async with proxied() as proxy, connected(proxy) as stream:
        await echo_of(stream, b"hello")
        proxy.set_mode(Mode.CUT)
        assert await read_to_end(stream[0]) == b""
        async with connected(proxy) as (reader, _):
            assert await read_to_end(reader) == b""
        proxy.set_mode(Mode.PASS)
        async with connected(proxy) as again:
            assert await echo_of(again, b"back") == b"back"


async def test_reset_mode_resets_connections() -> None:
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await echo_of((reader, writer), b"hello")
        proxy.set_mode(Mode.RESET)
        with pytest.raises(ConnectionResetError):
            await read_to_end(reader)


async def test_half_open_mode_passes_no_data_and_ends_in_a_reset() -> None:
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await echo_of((reader, writer), b"hello")
        proxy.set_mode(Mode.HALF_OPEN)
        writer.write(b"to the open connection")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SILENCE_S)
        async with connected(proxy) as (new_reader, new_writer):
            new_writer.write(b"to the new connection")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(new_reader.read(1), SILENCE_S)
        proxy.set_mode(Mode.PASS)
        with pytest.raises(ConnectionResetError):
            await read_to_end(reader)


async def test_slow_mode_delays_data_and_loses_none() -> None:
    async with proxied() as proxy, connected(proxy) as stream:
        proxy.set_mode(Mode.SLOW)
        began = asyncio.get_running_loop().time()
        assert await echo_of(stream, b"hello") == b"hello"
        assert asyncio.get_running_loop().time() - began >= 2 * SLOW_S


async def test_slices_mode_loses_no_data() -> None:
    async with proxied() as proxy, connected(proxy) as stream:
        proxy.set_mode(Mode.SLICES)
        text = bytes(range(256)) * (SLICE_BYTES // 16)
        assert await echo_of(stream, text) == text


async def test_dropped_reply_resets_only_its_own_connection() -> None:
    async with proxied() as proxy:
        proxy.drop_replies()
        async with connected(proxy) as (reader, writer):
            writer.write(b"a request")
            with pytest.raises(ConnectionResetError):
                await read_to_end(reader)
        assert proxy.replies_to_drop == 0
        async with connected(proxy) as stream:
            assert await echo_of(stream, b"hello") == b"hello"


async def test_proxy_resets_a_client_when_the_server_is_missing() -> None:
    async with TcpProxy(free_port(), free_port()) as proxy, connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await read_to_end(reader)
