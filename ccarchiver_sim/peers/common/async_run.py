"""Start and end of a peer that runs on asyncio, as all peers with SAL do."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from ccarchiver_sim.peers.common.runloop import EXIT_FAILED, EXIT_OK, STOP_SIGNALS, PeerError
from ccarchiver_sim.peers.common.site import start_logging

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def run_async_peer(
    name: str, log_level: str, work: Callable[[asyncio.Event], Awaitable[None]]
) -> int:
    """Run a peer until its work or a signal ends it.

    Parameters
    ----------
    name : `str`
        Name of the peer.
    log_level : `str`
        Python name of the logging level.
    work : callable
        Main coroutine function of the peer. Its argument is an event; it must return soon after the
        event is set.

    Returns
    -------
    code : `int`
        Exit code for the process.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        await work(stop)

    start_logging(log_level)
    try:
        asyncio.run(main())
    except PeerError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EXIT_FAILED
    return EXIT_OK


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait some seconds; return whether the peer was stopped in the meantime."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
