"""Entry point of ``run_ccarchiver_event_listener``, an event listener that supervisord starts.

The modules for Redis are imported late, so that the workers start first. supervisord buffers its
events until then.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from ccarchiver_core import __version__
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG, EXIT_PROTOCOL
from ccarchiver_core.base.resilient_output import resilient_output
from ccarchiver_core.base.tasks import cancel_and_wait

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.listener.protocol import EventBuffer

NAME = "run_ccarchiver_event_listener"

STARTED_BY_SUPERVISORD = "SUPERVISOR_SERVER_URL"
"""Environment variable that supervisord sets for the processes that it starts."""

START_DELAY_S = 1.0
"""Delay that lets the workers start first; a restart of all programs does not wait for it."""

FLUSH_LIMIT_S = 2.0
"""Seconds to record the buffered events at a stop; supervisord.conf allows more for the stop."""


@resilient_output()
def main() -> None:
    """Listen to supervisord until SIGTERM, or until it closes the pipe."""
    parser = argparse.ArgumentParser(
        NAME, description="Event listener of CCArchiver for supervisord"
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args()
    if STARTED_BY_SUPERVISORD not in os.environ:
        parser.error(
            "supervisord must start this program: "
            "see [eventlistener:event_listener] in supervisord.conf"
        )
    try:
        asyncio.run(_run())
    except ConfigError as error:
        _print_error(error)
        sys.exit(EXIT_CONFIG)
    except ValueError as error:
        _print_error(error)
        sys.exit(EXIT_PROTOCOL)


def _print_error(error: Exception) -> None:
    sys.stderr.write(f"{NAME}: {error}\n")


async def _run() -> None:
    from ccarchiver_health.listener.protocol import (  # noqa: PLC0415  --version does not need it
        EventBuffer,
        listen,
        standard_input,
    )

    buffer = EventBuffer()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    listening = asyncio.create_task(listen(await standard_input(), buffer.put))
    recording = asyncio.create_task(_record(buffer))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({listening, recording, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not recording.done():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_LIMIT_S):
                await buffer.wait_until_empty()
    stopped.cancel()
    for task in (listening, recording):
        await cancel_and_wait(task)


async def _record(buffer: EventBuffer) -> None:
    await asyncio.sleep(START_DELAY_S)
    settings = _load()
    from ccarchiver_core.redis.client import make_client  # noqa: PLC0415  see above
    from ccarchiver_health.listener.event_recorder import EventRecorder  # noqa: PLC0415  see above

    redis = make_client(settings)
    try:
        await EventRecorder(redis, buffer).run()
    finally:
        await redis.aclose()


def _load() -> Settings:
    from ccarchiver_core.config.settings import load_settings  # noqa: PLC0415  see above
    from ccarchiver_core.log import logs  # noqa: PLC0415  see above

    settings = load_settings()
    # Log only to standard error, which supervisord writes to event_listener.out.
    logs.configure("event_listener", None)
    return settings


if __name__ == "__main__":
    main()
