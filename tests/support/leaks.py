"""Find what a test leaves open in that test, not in a later one that has nothing to do with it.

A connection or task that nobody closed or awaited warns when Python's collector of garbage frees
it, which happens at any time. Warnings are errors, so a test fails for it.
"""

from __future__ import annotations

import gc

import pytest

OPENING_MARKS = {"processes", "integration"}
"""Marks of the tests that open much. To collect takes a tenth of a second, too long for all."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Free what the test no longer uses; pytest then reports the warnings in its teardown."""
    if not OPENING_MARKS.isdisjoint(mark.name for mark in item.iter_markers()):
        gc.collect()
