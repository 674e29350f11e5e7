"""Check the marks: a test that starts a program fails if it has no mark for that.

`make quick` runs the tests without such marks. They need no broker and take seconds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTING_MARKS = {"processes", "servers", "integration"}
"""Marks of tests that may start programs."""
STARTING_EVENTS = {"subprocess.Popen", "os.fork", "os.posix_spawn"}
"""Audit events of Python that mean the start of a program or process."""

_test: list[pytest.Item] = []
"""The running test, if it has none of the marks."""
_started: list[str] = []
"""The programs that it has started."""


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    if _test and event in STARTING_EVENTS:
        _started.append(f"{event} {arguments[0] if arguments else ''}")


sys.addaudithook(_on_event)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record the programs that a test without a mark starts."""
    if STARTING_MARKS.isdisjoint(mark.name for mark in item.iter_markers()):
        _test.append(item)
    try:
        return (yield)
    finally:
        _test.clear()
        _started.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test without a mark that has started a program."""
    result = yield
    if _test and _started:
        pytest.fail(
            f"{item.nodeid} starts a program, so it needs the mark `processes`: {_started[0]}",
            pytrace=False,
        )
    return result
