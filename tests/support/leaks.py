"""Find what a test leaves open in that test, not in a later one that has nothing to do with it.

A connection that is not closed or a task that is not awaited warns when the garbage collector of
Python frees it, which happens at any time. Warnings are errors, so a test fails for it.
"""

from __future__ import annotations

import gc

import pytest

OPENING_MARKS = {"processes", "integration", "servers"}
"""Marks of the tests that open connections."""


def pytest_collection_finish() -> None:
    """Exclude from later collections what exists now, so that each takes a few milliseconds."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Free what the test no longer uses; pytest then reports the warnings in its teardown."""
    if not OPENING_MARKS.isdisjoint(mark.name for mark in item.iter_markers()):
        gc.collect()
