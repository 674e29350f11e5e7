"""Console output and signal handling for the programs that run a whole archiver."""

import asyncio
import signal
import sys
from collections.abc import Coroutine

from rich.console import Console

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
"""Exit code that a shell uses for a program ended by Ctrl-C."""
PIPE_WIDTH = 140
"""Width of output that does not go to a terminal; rich's default of 80 would fold the tables."""


def make_console() -> Console:
    """Return a console for a terminal or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def run_until_signalled(work: Coroutine[None, None, int], console: Console) -> int:
    """Run a program's work until it ends or a signal cancels it.

    The first SIGINT, SIGTERM or SIGHUP cancels the work, which then cleans up. Further signals have
    no effect.

    Returns
    -------
    code
        The exit code that the work returns.
    """

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                interrupted = True
                console.print(
                    "interrupted: stopping all started programs; this takes a few seconds"
                )
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupt)
        return await task

    return asyncio.run(guarded())
