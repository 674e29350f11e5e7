"""End threads that wait in DDS when the program, or the executor they work for, ends.

salobj reads in the thread of an executor. Python waits for such threads before it runs atexit
functions, and so does asyncio for the executor of a cancelled task, so nobody else would tell
a waiting thread to stop: a program that ends by an exception or Ctrl-C would hang.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # its exit hook must be registered before ours, to run after it
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["call_at_end", "call_at_thread_end", "must_stop"]

_exiting = threading.Event()
_wakers: list[Callable[[], None]] = []
_thread = threading.local()
_WORKER_CODE = concurrent.futures.thread._worker.__code__  # noqa: SLF001


def _executor_of_this_thread() -> Callable[[], Any] | None:
    """Return a weak reference to the executor this thread works for, None if it works for none."""
    if not hasattr(_thread, "executor"):
        # The executor leaves no other trace in its threads than this function of theirs.
        frame: FrameType | None = sys._getframe()  # noqa: SLF001
        while frame is not None and frame.f_code is not _WORKER_CODE:
            frame = frame.f_back
        _thread.executor = None if frame is None else frame.f_locals.get("executor_reference")
    executor: Callable[[], Any] | None = _thread.executor
    return executor


def must_stop() -> str | None:
    """Return why the calling thread should stop waiting, or None."""
    if _exiting.is_set():
        return "the program is ending"
    reference = _executor_of_this_thread()
    if reference is not None:
        executor = reference()
        if executor is None or executor._shutdown:  # noqa: SLF001 (no public question for it)
            return "its reader was cancelled"
    return None


def call_at_thread_end(waker: Callable[[], None]) -> None:
    """Have a function called when the program begins to end, before threads are waited for."""
    _wakers.append(waker)


def call_at_end(function: Callable[[], None]) -> None:
    """Have a function called at the very end: after the exit functions of whoever came later."""
    atexit.register(function)


def _end_waits() -> None:
    _exiting.set()
    for waker in _wakers:
        waker()


# Private, but the only hook before threads are joined; concurrent.futures itself uses it. Hooks run
# in the reverse order of their registration.
threading._register_atexit(_end_waits)  # type: ignore[attr-defined] # noqa: SLF001
