"""Wait sets."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

from ts_dds_cyclone import incompatibility, native
from ts_dds_cyclone.conditions import Condition, GuardCondition
from ts_dds_cyclone.entities import Entity
from ts_dds_cyclone.errors import BAD_PARAMETER, DDSException, checked
from ts_dds_cyclone.jobs import ReadingJobs
from ts_dds_cyclone.kinds import NANOSECONDS, DDSDuration
from ts_dds_cyclone.shutdown import call_at_thread_end, must_stop

if TYPE_CHECKING:
    from ts_dds_cyclone.kinds import DDSTime

__all__ = ["WaitSet"]

SLICE_NS = NANOSECONDS
"""A wait is divided into slices of this length to check whether the reader was cancelled, because
a thread is not notified when its executor is shut down. Each slice wakes the process, for each
component that it reads: with a quarter of a second, an idle CSC needed a quarter of its CPU time
for this. A cancelled reader delays the end of a program by at most one slice."""
EXIT_TOKEN = 0


@functools.cache
def _exit_condition() -> GuardCondition:
    """Return the condition that is met when the program ends; every wait set contains it."""
    condition = GuardCondition()
    call_at_thread_end(condition.trigger)
    return condition


class WaitSet(Entity):
    """A set of conditions, to wait until one of them is met. It belongs to no participant."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conditions: dict[int, Condition] = {}
        self._tokens: dict[Condition, int] = {}
        self._next_token = EXIT_TOKEN + 1
        self._jobs = ReadingJobs(self)
        self._handle = checked(native.create_wait_set(native.LIBRARY), "create a wait set")
        checked(
            native.attach(self._handle, _exit_condition().handle, EXIT_TOKEN),
            "attach the exit condition",
        )

    def get_conditions(self) -> list[Condition]:
        """Return the attached conditions."""
        with self._lock:
            return list(self._tokens)

    def attach(self, cond: Condition) -> None:
        """Add a condition; nothing changes if it is already attached."""
        if not cond.is_open:
            message = f"Cannot attach a {type(cond).__name__} that is closed"
            raise DDSException(message, BAD_PARAMETER)
        with self._lock:
            if cond in self._tokens:
                return
            token = self._next_token
            checked(native.attach(self.handle, cond.handle, token), "attach a condition")
            self._next_token += 1
            self._conditions[token], self._tokens[cond] = cond, token
        cond.attached(self._jobs)

    def detach(self, cond: Condition) -> None:
        """Remove a condition. It is no error if it is not attached or if its reader is closed."""
        with self._lock:
            token = self._tokens.pop(cond, None)
            if token is None:
                return
            del self._conditions[token]
            if cond.is_open and self.is_open:
                checked(native.detach(self.handle, cond.handle), "detach a condition")
        cond.detached(self._jobs)

    def wait(self, timeout: DDSTime | None = None) -> list[Condition]:
        """Wait until a condition is met.

        Returns
        -------
        conditions
            The conditions that are met; empty after the timeout.

        Raises
        ------
        DDSException
            If the program is ending or the executor of the calling thread was shut down. A caller
            that reads in a loop must then leave the loop.
        """
        handle = self.handle
        left = DDSDuration.infinity().value if timeout is None else timeout.value
        for condition in self.get_conditions():
            condition.about_to_wait()
        with self._jobs.waiting():
            while True:
                tokens_wanted = len(self._tokens) + 1
                result, tokens = native.wait(handle, tokens_wanted, min(left, SLICE_NS))
                reason = must_stop()
                if reason is not None:
                    message = f"Waiting for DDS ended because {reason}"
                    raise DDSException(message)
                checked(result, "wait for conditions")
                incompatibility.check()
                left -= SLICE_NS
                if result > 0 or left <= 0:
                    break
        with self._lock:
            return [self._conditions[token] for token in tokens if token in self._conditions]
