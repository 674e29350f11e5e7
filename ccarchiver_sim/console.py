"""What the programs that run a whole archiver have in common: a console, and an end that cleans up."""

import asyncio
import signal
import sys
from collections.abc import Coroutine

from rich.console import Console

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
"""The shell's number for Ctrl-C."""
PIPE_WIDTH = 140
"""Where the output is no terminal there is no width to ask for; rich's 80 would fold the tables."""


def make_console() -> Console:
    """Make a console for a terminal or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def run_until_signalled(work: Coroutine[None, None, int], console: Console) -> int:
    """Run a program's work; the first SIGINT or SIGTERM makes it clean up and end, further ones change nothing.

    Returns
    -------
    code
        The exit code that the work gives.
    """

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                interrupted = True
                console.print("interrupted: ending everything that was started, a few seconds")
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupt)
        return await task

    return asyncio.run(guarded())
