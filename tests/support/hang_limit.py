"""Limit of each test that hangs: pytest-timeout's, on a clock that slows on a busy machine."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest
from pytest_timeout import timeout_sigalrm

from ccarchiver_sim.pace import Deadline

if TYPE_CHECKING:
    from types import FrameType

    from pytest_timeout import Settings

POLL_S = 1.0
"""Interval of the timer: much shorter than any test's limit."""


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> bool | None:
    """Start the timer of a test. Outside of the main thread pytest-timeout's own timer is used."""
    if threading.current_thread() is not threading.main_thread():
        return None
    deadline = Deadline(settings.timeout)

    def poll(_number: int, _frame: FrameType | None) -> None:
        if deadline.has_passed():
            _stop()
            timeout_sigalrm(item, settings)

    signal.signal(signal.SIGALRM, poll)
    signal.setitimer(signal.ITIMER_REAL, POLL_S, POLL_S)
    item.cancel_timeout = _stop  # type: ignore[attr-defined] # pytest-timeout calls this to cancel
    return True


def _stop() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
