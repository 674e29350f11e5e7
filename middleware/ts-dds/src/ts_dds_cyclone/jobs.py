"""Wait until the jobs that read with a wait set have ended.

salobj reads in a job of an executor. To close, it triggers a guard condition, gives the job 10 ms to end, and warns if
the job has not ended then. On a busy machine the thread may not even run within 10 ms. So the thread that triggers the
condition waits until the job has ended.
"""

from __future__ import annotations

import concurrent.futures.thread
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from types import FrameType

__all__ = ["ReadingJobs", "executor_of_this_thread"]

END_LIMIT = 5.0
"""Seconds that the trigger of a condition waits at most. A job that was woken ends within milliseconds of processor
time; the limit is for one that waits for the triggering thread, or reads on."""
FIRST_WAIT_LIMIT = 1.0
"""Seconds for jobs that were only just begun, and have not reached their wait set."""
POLL_INTERVAL = 0.002
"""Seconds between two looks at jobs that were only just begun: nothing notifies of them."""
WAITS_OF_ONE_THAT_GOES_ON = 2
"""A job may have been about to wait when the condition was triggered. One that waits once more reads on."""

# Private, but an executor leaves no other trace in its threads than the frames of these functions.
_WORKER = concurrent.futures.thread._worker  # noqa: SLF001
_WORKER_CODE = _WORKER.__code__
_RUN_CODE = concurrent.futures.thread._WorkItem.run.__code__  # noqa: SLF001

_thread = threading.local()
_reading_executors: weakref.WeakSet[Executor] = weakref.WeakSet()
"""Executors of jobs that have waited at a wait set, any one."""


def executor_of_this_thread() -> Executor | None:
    """Return the executor that this thread works for, None if it works for none.

    Raises
    ------
    LookupError
        If the executor is gone.
    """
    if not hasattr(_thread, "executor"):
        frame = _frame_of(_WORKER_CODE)
        _thread.executor = None if frame is None else frame.f_locals.get("executor_reference")
    if _thread.executor is None:
        return None
    executor: Executor | None = _thread.executor()
    if executor is None:
        message = "the executor of this thread is gone"
        raise LookupError(message)
    return executor


def _frame_of(code: Any) -> FrameType | None:  # noqa: ANN401 (a code object; types.CodeType says no more)
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


def _job_of_this_thread() -> Future[Any] | None:
    frame = _frame_of(_RUN_CODE)
    return None if frame is None else frame.f_locals["self"].future


class ReadingJobs:
    """The jobs that wait at one wait set, again and again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits: weakref.WeakKeyDictionary[Future[Any], int] = weakref.WeakKeyDictionary()

    def note_wait(self) -> None:
        """Note that the job of the calling thread begins to wait."""
        job = _job_of_this_thread()
        if job is None:
            return
        with self._changed:
            is_new = job not in self._waits
            self._waits[job] = self._waits.get(job, 0) + 1
            self._changed.notify_all()
        if is_new:
            executor = executor_of_this_thread()
            if executor is not None:
                _reading_executors.add(executor)
            # The callback by which asyncio hears of the end was added first, so it is called first.
            job.add_done_callback(self._note_end)

    def _note_end(self, _job: Future[Any]) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait_until_ended(self) -> None:
        """Wait until the jobs have ended. The condition that ends their waits must be triggered already.

        Returns without that if a job reads on, or does not end within a limit.
        """
        if not self._waits:
            _wait_for_jobs_just_begun()
        own = _job_of_this_thread()
        with self._changed:
            before = {job: waits for job, waits in self._waits.items() if job is not own}
            self._changed.wait_for(lambda: all(self._is_over(job, before[job]) for job in before), END_LIMIT)

    def _is_over(self, job: Future[Any], waits_before: int) -> bool:
        return job.done() or self._waits[job] >= waits_before + WAITS_OF_ONE_THAT_GOES_ON


def _wait_for_jobs_just_begun() -> None:
    """Wait until jobs that run, and have not waited at a wait set, have ended or wait at one."""
    end = time.monotonic() + FIRST_WAIT_LIMIT
    while time.monotonic() < end and any(_has_just_begun(thread) for thread in threading.enumerate()):
        time.sleep(POLL_INTERVAL)


def _has_just_begun(thread: threading.Thread) -> bool:
    if thread is threading.current_thread() or getattr(thread, "_target", None) is not _WORKER:
        return False
    executor = thread._args[0]()  # type: ignore[attr-defined] # noqa: SLF001 (the argument of _WORKER)
    return (
        executor is not None and executor not in _reading_executors and executor._idle_semaphore._value == 0  # noqa: SLF001 (no public question for it)
    )
