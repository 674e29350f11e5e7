"""A Domain closes without a warning, even if its reading threads are late."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj
from ts_dds_cyclone import native

from tests.middleware.busy import busy_processes

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.processes

DOMAINS_AT_ONCE = 50
ROUNDS = 4
BUSY_PROCESSES = 6
LATE_S = 0.05
"""Longer than the 10 ms that salobj allows its reading thread. A shorter pause can only make the
test pass wrongly, never fail wrongly."""
UNTIL_SETTLING = 10
"""Event loop iterations after which a new Remote waits for history."""


@pytest.fixture(autouse=True)
def _no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Remotes start at once: there is no history to wait for."""
    monkeypatch.setenv("LSST_DDS_HISTORYSYNC", "-1")


async def domains_with_remotes(count: int) -> Sequence[salobj.Domain]:
    domains = [salobj.Domain() for _ in range(count)]
    remotes = [salobj.Remote(domain, "CCArchiver", include=["summaryState"]) for domain in domains]
    await asyncio.gather(*(remote.start_task for remote in remotes))
    return domains


async def test_domains_close_without_a_warning_beside_busy_processes() -> None:
    """Check that salobj logs no warning: in the tests every warning is an error."""
    for _ in range(ROUNDS):
        domains = await domains_with_remotes(DOMAINS_AT_ONCE)
        with busy_processes(BUSY_PROCESSES):
            await asyncio.gather(*(domain.close() for domain in domains))
        assert [domain.num_read_loops for domain in domains] == [0] * DOMAINS_AT_ONCE


async def test_domain_closes_without_a_warning_when_a_reading_thread_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = native.wait

    def wait_and_be_late(wait_set: int, n: int, timeout_ns: int) -> tuple[int, list[int]]:
        result = wait(wait_set, n, timeout_ns)
        time.sleep(LATE_S)
        return result

    monkeypatch.setattr(native, "wait", wait_and_be_late)
    (domain,) = await domains_with_remotes(1)
    await domain.close()
    assert domain.num_read_loops == 0


async def test_domain_closes_without_a_warning_while_its_remote_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LSST_DDS_HISTORYSYNC")
    async with salobj.Domain() as domain:
        remote = salobj.Remote(domain, "CCArchiver", include=["summaryState"])
        for _ in range(UNTIL_SETTLING):
            await asyncio.sleep(0)
        assert not remote.start_task.done()
    assert domain.num_read_loops == 0
    await remote.salinfo.done_task
