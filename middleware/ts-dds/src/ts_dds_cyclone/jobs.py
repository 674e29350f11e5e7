"""Wait until the jobs that read with a wait set have ended.

salobj reads in a job of an executor. To close, it triggers a guard condition, waits 10 ms for the
job to end, and warns if the job has not ended then. On a busy machine the thread of the job may not
even run within 10 ms. So the thread that triggers the condition waits until the job has ended.
"""

from __future__ import annotations

import concurrent.futures.thread
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Executor, Future
    from types import CodeType, FrameType

__all__ = ["ReadingJobs", "executor_of_this_thread", "note_job_of_this_thread"]

END_LIMIT = 5.0
"""Longest wait of a condition's trigger in seconds. A job that was woken ends within milliseconds
of processor time. The limit is for a job that waits for the triggering thread or continues to
read."""
FIRST_WAIT_LIMIT = 1.0
"""Limit in seconds for jobs that have just begun and have not reached their wait set."""
POLL_INTERVAL = 0.002
"""Seconds between two checks of jobs that have just begun, because nothing notifies of them."""
FIRST_WAIT = 1

# Private, but the frames of these functions are the only trace of an executor in its threads.
_WORKER_CODE = concurrent.futures.thread._worker.__code__  # noqa: SLF001
_RUN_CODE = concurrent.futures.thread._WorkItem.run.__code__  # noqa: SLF001

_thread = threading.local()
_known_jobs: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
"""Jobs that have called this package, so they are past their beginning."""


def executor_of_this_thread() -> Executor | None:
    """Return the executor of this thread; None if the thread belongs to no executor.

    Raises
    ------
    LookupError
        If the executor no longer exists.
    """
    if not hasattr(_thread, "executor"):
        frame = _caller(sys._getframe(), _WORKER_CODE)  # noqa: SLF001
        _thread.executor = None if frame is None else frame.f_locals.get("executor_reference")
    if _thread.executor is None:
        return None
    executor: Executor | None = _thread.executor()
    if executor is None:
        message = "the executor of this thread is gone"
        raise LookupError(message)
    return executor


def note_job_of_this_thread() -> Future[Any] | None:
    """Return the job that this thread runs for an executor; record it as past its beginning."""
    frame = _caller(sys._getframe(), _RUN_CODE)  # noqa: SLF001
    if frame is None:
        return None
    job: Future[Any] = frame.f_locals["self"].future
    _known_jobs.add(job)
    return job


def _caller(frame: FrameType | None, code: CodeType) -> FrameType | None:
    """Return the nearest frame that runs some code, among a frame and its callers, or None."""
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


@dataclass
class _Progress:
    waits: int = 0
    """Number of waits that the job has begun."""
    is_waiting: bool = False


class ReadingJobs:
    """The jobs that wait at one wait set in a loop.

    Parameters
    ----------
    wait_set
        The wait set. A job that has just begun counts as one of its jobs if it is a method of an
        object that has this wait set.
    """

    def __init__(self, wait_set: object) -> None:
        self._wait_set = weakref.ref(wait_set)
        self._changed = threading.Condition()
        self._running: dict[Future[Any], _Progress] = {}
        self._had_job = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Record that the job of the calling thread waits during a block."""
        job = note_job_of_this_thread()
        if job is None:
            yield
            return
        with self._changed:
            is_new = job not in self._running
            progress = self._running.setdefault(job, _Progress())
            progress.waits += 1
            progress.is_waiting = True
            self._had_job = True
            self._changed.notify_all()
        if is_new:
            job.add_done_callback(self._note_end_after_others)
        try:
            yield
        finally:
            progress.is_waiting = False

    def _note_end_after_others(self, job: Future[Any]) -> None:
        """Record the end after callbacks that were added later, such as the one for asyncio."""
        job._done_callbacks.append(self._note_end)  # type: ignore[attr-defined] # noqa: SLF001 (add_done_callback would call it now)

    def _note_end(self, job: Future[Any]) -> None:
        with self._changed:
            del self._running[job]
            self._changed.notify_all()

    def last_waits(self) -> dict[Future[Any], int]:
        """Return the number of each job's wait that the next trigger of a condition ends."""
        with self._changed:
            # A job that does not wait now may be about to wait. The condition then ends that next
            # wait.
            return {
                job: progress.waits + (not progress.is_waiting)
                for job, progress in self._running.items()
            }

    def wait_until_ended(self, last_waits: Mapping[Future[Any], int]) -> None:
        """Wait until the jobs have ended, after the trigger of a condition that ends their waits.

        The wait ends early if a job continues to read or does not end within a limit.

        Parameters
        ----------
        last_waits
            Result of `last_waits` before the condition was triggered.
        """
        if not self._had_job:
            self._wait_for_jobs_just_begun()
        own = note_job_of_this_thread()
        with self._changed:
            jobs = {job: last_waits.get(job, FIRST_WAIT) for job in self._running if job is not own}
            self._changed.wait_for(
                lambda: not any(map(self._may_end, jobs, jobs.values())), END_LIMIT
            )

    def _may_end(self, job: Future[Any], last_wait: int) -> bool:
        """Return whether a job is running and has begun no wait after the one that was ended."""
        progress = self._running.get(job)
        return progress is not None and progress.waits <= last_wait

    def _wait_for_jobs_just_begun(self) -> None:
        """Wait until the jobs that have just begun have ended or wait at their wait set."""
        end = time.monotonic() + FIRST_WAIT_LIMIT
        while time.monotonic() < end and self._has_job_just_begun():
            time.sleep(POLL_INTERVAL)

    def _has_job_just_begun(self) -> bool:
        frames = sys._current_frames()  # noqa: SLF001
        return any(
            self._is_just_begun(frames.get(thread.ident or 0))
            for thread in threading.enumerate()
            if thread is not threading.current_thread()
            and thread in concurrent.futures.thread._threads_queues  # noqa: SLF001
        )

    def _is_just_begun(self, frame: FrameType | None) -> bool:
        """Return whether the executor thread with this innermost frame begins a job of this set."""
        run = _caller(frame, _RUN_CODE)
        if run is not None:
            item = run.f_locals["self"]
            return (
                item is not None
                and item.future not in _known_jobs
                and self._is_method_of_owner(item)
            )
        worker = _caller(frame, _WORKER_CODE)
        if worker is None:
            return True  # the thread begins or ends
        executor = worker.f_locals["executor_reference"]()
        return executor is not None and executor._idle_semaphore._value == 0  # noqa: SLF001 (there is no public attribute)

    def _is_method_of_owner(self, item: Any) -> bool:  # noqa: ANN401 (an executor's private class)
        owner = getattr(getattr(item, "fn", None), "__self__", None)
        wait_set = self._wait_set()
        return wait_set is not None and any(
            value is wait_set for value in getattr(owner, "__dict__", {}).values()
        )
