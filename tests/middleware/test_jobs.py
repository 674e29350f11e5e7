"""A thread that triggers a guard condition waits for reading jobs and for no others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import dds
import pytest
from ts_dds_cyclone import jobs as jobs_module
from ts_dds_cyclone.jobs import ReadingJobs, executor_of_this_thread, note_job_of_this_thread

from ccarchiver_sim.pace import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 30.0
POLL_S = 0.25
NEVER = 1e6
"""A limit in seconds that must not take effect."""


def happens(event: threading.Event) -> None:
    """Wait for an event."""
    deadline = Deadline(LIMIT_S)
    while not event.wait(POLL_S):
        assert not deadline.has_passed()


class Reader:
    """A wait set and jobs that wait on it, like salobj's SalInfo."""

    def __init__(self) -> None:
        self.wait_set = WaitSet()
        self.jobs = ReadingJobs(self.wait_set)
        self.ends, self.begun, self.waits = threading.Event(), threading.Event(), threading.Event()
        self.waits_again, self.triggered, self.watched = (
            threading.Event(),
            threading.Event(),
            threading.Event(),
        )
        self.order: list[str] = []

    def read_once(self) -> None:
        with self.jobs.waiting():
            self.waits.set()
            happens(self.triggered)
        happens(self.watched)
        self.order.append("job")

    def read_after_a_while(self) -> None:
        self.begun.set()
        happens(self.watched)
        self.read_once()

    def read_on(self) -> None:
        self.read_once()
        with self.jobs.waiting():
            self.waits_again.set()
            happens(self.ends)

    def read_between(self) -> None:
        """Wait, work for a while, and be about to wait again when the condition is triggered."""
        with self.jobs.waiting():
            pass
        self.begun.set()
        happens(self.watched)
        self.read_once()

    def settle(self) -> None:
        note_job_of_this_thread()
        self.begun.set()
        happens(self.ends)

    def trigger(self) -> None:
        last_waits = self.jobs.last_waits()
        self.triggered.set()
        self.jobs.wait_until_ended(last_waits)
        self.order.append("trigger")


class WaitSet:
    """Replaces a wait set; the jobs belong to the object that has it."""


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader that sets ``watched`` when the triggering thread has seen its job at work."""
    monkeypatch.setattr(jobs_module, "END_LIMIT", NEVER)
    monkeypatch.setattr(jobs_module, "FIRST_WAIT_LIMIT", NEVER)
    reader = Reader()
    for name in ("_may_end", "_has_job_just_begun"):
        monkeypatch.setattr(reader.jobs, name, observed(getattr(reader.jobs, name), reader.watched))
    yield reader
    for event in (reader.ends, reader.triggered, reader.watched):
        event.set()  # so that no job of a failed test delays the end of its executor


def observed(question: Callable[..., bool], event: threading.Event) -> Callable[..., bool]:
    """Return a function that sets an event once the original returns true."""

    def ask(*arguments: Any) -> bool:  # noqa: ANN401 (any arguments)
        answer = question(*arguments)
        if answer:
            event.set()
        return answer

    return ask


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture(autouse=True)
def _in_this_order(executor: ThreadPoolExecutor, reader: Reader) -> None:
    """Make the reader's teardown set its events before the executor waits for its jobs."""


def test_trigger_waits_for_a_waiting_job(reader: Reader, executor: ThreadPoolExecutor) -> None:
    executor.submit(reader.read_once)
    happens(reader.waits)
    reader.trigger()
    assert reader.order == ["job", "trigger"]


def test_callback_added_late_has_run_before_trigger_returns(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    """Do as asyncio does: the job may already wait when `run_in_executor` adds its callback."""
    job = executor.submit(reader.read_once)
    happens(reader.waits)
    job.add_done_callback(lambda _job: reader.order.append("callback"))
    reader.trigger()
    assert reader.order == ["job", "callback", "trigger"]


def test_end_of_a_job_is_not_recorded_before_all_callbacks_have_run(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    seen: list[bool] = []
    job = executor.submit(reader.read_once)
    happens(reader.waits)
    job.add_done_callback(lambda job: seen.append(job in reader.jobs._running))
    reader.trigger()
    assert seen == [True]
    assert not reader.jobs._running


def test_trigger_waits_for_a_job_that_is_about_to_wait(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    executor.submit(reader.read_between)
    happens(reader.begun)
    reader.trigger()
    assert reader.order == ["job", "trigger"]


def test_trigger_waits_for_a_job_that_has_just_begun(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    executor.submit(reader.read_after_a_while)
    happens(reader.begun)
    reader.trigger()
    assert reader.order == ["job", "trigger"]


def test_trigger_waits_for_a_job_that_fails(reader: Reader, executor: ThreadPoolExecutor) -> None:
    def fail() -> None:
        reader.read_once()
        raise RuntimeError("on purpose")

    job = executor.submit(fail)
    happens(reader.waits)
    reader.trigger()
    assert reader.order == ["job", "trigger"]
    with pytest.raises(RuntimeError, match="on purpose"):
        job.result()


def test_trigger_does_not_wait_for_a_job_that_continues_to_read(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    job = executor.submit(reader.read_on)
    happens(reader.waits)
    reader.trigger()
    assert reader.order == ["job", "trigger"]
    assert not job.done()


def test_trigger_does_not_wait_for_a_job_that_already_waits_again(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    reader.watched.set()
    job = executor.submit(reader.read_on)
    happens(reader.waits)
    last_waits = reader.jobs.last_waits()
    reader.triggered.set()
    happens(reader.waits_again)
    reader.jobs.wait_until_ended(last_waits)
    assert not job.done()


def test_trigger_returns_after_the_limit_if_a_job_does_not_end(
    reader: Reader, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "END_LIMIT", 0.01)
    monkeypatch.setattr(reader.jobs, "_may_end", lambda *_: True)
    executor.submit(reader.read_once)
    happens(reader.waits)
    reader.trigger()
    assert reader.order == ["trigger"]


def test_trigger_within_a_job_does_not_wait_for_that_job(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    def read_and_trigger() -> None:
        with reader.jobs.waiting():
            pass
        reader.trigger()

    executor.submit(read_and_trigger).result()
    assert reader.order == ["trigger"]


def test_trigger_does_not_wait_for_a_job_that_settles(
    reader: Reader, executor: ThreadPoolExecutor
) -> None:
    job = executor.submit(reader.settle)
    happens(reader.begun)
    reader.trigger()
    assert not job.done()


@pytest.mark.parametrize("kind", ["a function", "of another reader"])
def test_trigger_does_not_wait_for_other_jobs(
    reader: Reader, executor: ThreadPoolExecutor, kind: str
) -> None:
    other = Reader()
    job = executor.submit(
        other.read_after_a_while
        if kind == "of another reader"
        else partial(other.read_after_a_while)
    )
    happens(other.begun)
    reader.trigger()
    assert not job.done()
    other.watched.set()
    other.triggered.set()


def test_trigger_does_not_wait_for_a_thread_without_an_executor(reader: Reader) -> None:
    thread = threading.Thread(target=reader.read_once)
    thread.start()
    happens(reader.waits)
    reader.trigger()
    assert reader.order == ["trigger"]
    reader.watched.set()
    thread.join()


def test_wait_set_can_be_used_again_after_a_reset(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "END_LIMIT", NEVER)
    wake, leave, wait_set = dds.GuardCondition(), dds.GuardCondition(), dds.WaitSet()
    wait_set.attach(wake)
    wait_set.attach(leave)
    woken = threading.Event()

    def read() -> int:
        number = 0
        while leave not in wait_set.wait():
            wake.reset()
            number += 1
            woken.set()
        return number

    job = executor.submit(read)
    for _ in range(3):
        wake.trigger()
        happens(woken)
        woken.clear()
    leave.trigger()
    assert job.done()
    assert job.result() == 3


def test_executor_of_a_thread_is_found(executor: ThreadPoolExecutor) -> None:
    assert executor_of_this_thread() is None
    assert executor.submit(executor_of_this_thread).result() is executor
    assert note_job_of_this_thread() is None
    job = executor.submit(note_job_of_this_thread)
    assert job.result() is job
