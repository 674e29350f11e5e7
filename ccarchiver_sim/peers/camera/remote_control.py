"""Control of the camera by JSON lines on standard input."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.camera.exposure import Exposure
from ccarchiver_sim.peers.common.runloop import print_event

if TYPE_CHECKING:
    from ccarchiver_sim.peers.camera.shutter import Shutter

ACTIONS: Final = ("take", "start", "end", "quit")

FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "image": (str,),
    "exposure": (int, float),
    "index": (int,),
    "in_sequence": (int,),
}
"""Fields of an exposure and their types; all but the image are optional."""

HELP: Final = (
    'for example {"take": {"image": "CC_O_20261122_000001"}} or {"start": "..."} or {"quit": true}'
)


class CommandError(ValueError):
    """A line that is not a command; the text names the reason."""


def parse(line: str) -> tuple[str, Exposure | None]:
    """Return the action of a command and its exposure, which is None for quit.

    Raises
    ------
    CommandError
        If the line is not a command.
    """
    try:
        command = json.loads(line)
    except json.JSONDecodeError as error:
        raise CommandError(f"not JSON ({error}); {HELP}") from error
    if not isinstance(command, dict) or len(command) != 1 or next(iter(command)) not in ACTIONS:
        raise CommandError(f"not an object with one of {', '.join(ACTIONS)}; {HELP}")
    action, subject = next(iter(command.items()))
    if action == "quit":
        return action, None
    return action, _exposure({"image": subject} if isinstance(subject, str) else subject)


def _exposure(subject: object) -> Exposure:
    if not isinstance(subject, dict) or "image" not in subject:
        raise CommandError(f"no image is named; {HELP}")
    for key, value in subject.items():
        kind = FIELDS.get(key)
        if kind is None or isinstance(value, bool) or not isinstance(value, kind):
            raise CommandError(f"{key}: {value!r} is not understood; {HELP}")
    return Exposure(
        image=subject["image"],
        seconds=float(subject.get("exposure", 0.0)),
        index=subject.get("index", 0),
        in_sequence=subject.get("in_sequence", 1),
    )


async def run_commands(shutter: Shutter, stop: asyncio.Event) -> None:
    """Execute commands from standard input in sequence.

    It ends with quit, with the end of the input, or when the peer is stopped.
    """
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    # A thread, because asyncio can wait only for a pipe, and standard input may be a file or a
    # terminal.
    threading.Thread(
        target=_read, args=(lines, asyncio.get_running_loop()), name="stdin", daemon=True
    ).start()
    stopped = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            next_line = asyncio.create_task(lines.get())
            await asyncio.wait({next_line, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not next_line.done():
                next_line.cancel()
                return
            line = next_line.result()
            if line is None or not await _carry_out(line, shutter):
                return
    finally:
        stopped.cancel()


async def _carry_out(line: str, shutter: Shutter) -> bool:
    """Execute one command; return False if it is quit."""
    try:
        action, exposure = parse(line)
    except CommandError as error:
        print_event("error", line=line.strip(), problem=str(error))
        return True
    if exposure is None:
        return False
    if action == "take":
        await shutter.take(exposure)
    elif action == "start":
        await shutter.start(exposure)
    else:
        await shutter.end(exposure)
    return True


def _read(lines: asyncio.Queue[str | None], loop: asyncio.AbstractEventLoop) -> None:
    """Put the non-empty lines of standard input, then None, into the queue; runs in a thread."""
    try:
        for line in sys.stdin:
            if line.strip():
                loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)
    except RuntimeError:
        # The loop was closed while this thread waited for a line: the peer has ended.
        return
