"""Run loop of a peer process: its threads, its stop signals and its output on stdout."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_stdout_lock = threading.Lock()

log = logging.getLogger(__name__)


class PeerError(Exception):
    """The peer must end; the text names the problem, the place and the remedy."""


def print_event(event: str, **fields: object) -> None:
    """Write one JSON line to stdout, for a driver that follows this process."""
    line = json.dumps({"event": event, **fields}, default=str)
    with _stdout_lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class RunLoop:
    """The threads of one peer, its stop event and its first error.

    Parameters
    ----------
    name : `str`
        Name of the peer in its lines on stdout.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stop = threading.Event()
        self._error: BaseException | None = None

    def listen_to_signals(self) -> None:
        """End cleanly on SIGTERM and SIGINT. Call it from the main thread.

        Notes
        -----
        The handlers do nothing. A handler runs in the main thread between any two instructions,
        also while that thread holds the lock of the stop event; if the handler set the event, it
        would wait for that lock without end. A separate thread reads the signal numbers and sets
        the event.
        """
        numbers, writable = os.pipe()
        os.set_blocking(writable, False)
        signal.set_wakeup_fd(writable)
        for number in STOP_SIGNALS:
            signal.signal(number, _do_nothing)
        self.spawn("signals", lambda: self._stop_at_signal(numbers))

    def spawn(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run `work` in a thread and return the thread; an exception in it ends the whole peer."""
        thread = threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
        thread.start()
        return thread

    def fail(self, error: BaseException) -> None:
        """End the peer with a non-zero exit code; only the first error counts."""
        if self._error is None:
            self._error = error
        self.stop.set()

    def ready(self, **fields: object) -> None:
        """Print on stdout that the peer serves now."""
        print_event("ready", peer=self.name, **fields)

    def wait(self) -> None:
        """Wait until the peer ends; raise the error if it failed.

        Raises
        ------
        PeerError
            If a thread failed and an operator must correct the cause.
        """
        self.stop.wait()
        if self._error is not None:
            raise self._error

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except PeerError as error:
            self.fail(error)
        except BaseException as error:
            log.exception("thread %s of %s failed", name, self.name)
            self.fail(error)

    def _stop_at_signal(self, numbers: int) -> None:
        while not self.stop.is_set():
            for number in os.read(numbers, 1):
                if number in STOP_SIGNALS:
                    log.info("%s: %s, ending", self.name, signal.Signals(number).name)
                    self.stop.set()


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Do nothing, instead of the default action; see `RunLoop.listen_to_signals`."""
