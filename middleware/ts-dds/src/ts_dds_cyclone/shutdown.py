"""End threads that wait in DDS when the program or their executor ends.

salobj reads in the thread of an executor. Python waits for these threads before it runs atexit
functions, and asyncio waits for the executor of a cancelled task. Nothing else stops a waiting
thread, so a program that ends by an exception or Ctrl-C would hang.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 (its exit hook must be registered before ours, to run after it)
import threading
from typing import TYPE_CHECKING

from ts_dds_cyclone.jobs import executor_of_this_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_at_end", "call_at_thread_end", "must_stop"]

_exiting = threading.Event()
_wakers: list[Callable[[], None]] = []


def must_stop() -> str | None:
    """Return why the calling thread should stop waiting, or None."""
    if _exiting.is_set():
        return "the program is ending"
    try:
        executor = executor_of_this_thread()
    except LookupError:
        return "its reader was cancelled"
    if executor is not None and executor._shutdown:  # type: ignore[attr-defined] # noqa: SLF001 (not public)
        return "its reader was cancelled"
    return None


def call_at_thread_end(waker: Callable[[], None]) -> None:
    """Register a function to call when the program begins to end, before threads are joined."""
    _wakers.append(waker)


def call_at_end(function: Callable[[], None]) -> None:
    """Register an exit function; it is called after exit functions that are registered later."""
    atexit.register(function)


def _end_waits() -> None:
    _exiting.set()
    for waker in _wakers:
        waker()


# Private, but the only hook before threads are joined; concurrent.futures itself uses it. Hooks run
# in reverse sequence of their registration.
threading._register_atexit(_end_waits)  # type: ignore[attr-defined] # noqa: SLF001
