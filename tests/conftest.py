"""Fixtures for all tests. A missing server makes a test fail, never skip."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from tests.support.brokers import VhostPool, empty, first_vhosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The same inputs in each run, so that a defect fails everywhere. `make fuzz` tries others.
# Hypothesis has absolute times of its own: a deadline of 200 ms for an example, and one second for
# the first inputs.
UNHURRIED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}
hypothesis.settings.register_profile("same", derandomize=True, database=None, **UNHURRIED)
hypothesis.settings.register_profile("random", **UNHURRIED)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

pytest_plugins = ["tests.support.hang_limit", "tests.support.leaks", "tests.support.marks"]

OURS = ("IIP_", "LSST_", "CCARCHIVER_")
"""Prefixes of the environment variables that the archiver reads."""


SERVER_FIXTURES = {"redis_server", "rabbit_server", "rabbit"}
"""A test that uses one of these fixtures, directly or indirectly, needs a broker."""
LONGEST_FIRST = ("integration", "processes", "servers")
"""Markers, in order of the duration of their tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a broker, and run long tests first to balance the processes."""
    for item in items:
        if not SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("servers")
    ranks: dict[Path, int] = {}
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        rank = next(
            (rank for rank, name in enumerate(LONGEST_FIRST) if name in marks), len(LONGEST_FIRST)
        )
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(
        key=lambda item: ranks[item.path]
    )  # stable: the tests of a file stay together, in order


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """Enable Ctrl-C for started programs: background jobs of a shell inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def _no_site_of_the_developer() -> Iterator[None]:
    """Hide a developer's own site from all tests, so that no test uses a real bus by mistake."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(OURS)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """Start a Redis for all tests of the session. Tests that stop one start their own."""
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    """Start a RabbitMQ for all tests of the session. Tests that stop one start their own."""
    with PrivateRabbit(tmp_path_factory.mktemp("rabbit"), vhosts=first_vhosts()) as server:
        yield server


@pytest.fixture(scope="session")
def vhosts(rabbit_server: PrivateRabbit) -> VhostPool:
    """Return the unused virtual hosts of the shared RabbitMQ."""
    return VhostPool(rabbit_server)


@pytest.fixture
def fresh_redis(redis_server: PrivateRedis) -> PrivateRedis:
    """Return the shared Redis after emptying it."""
    empty(redis_server)
    return redis_server


@pytest.fixture
def fresh_vhost(vhosts: VhostPool) -> str:
    """Return the name of an unused virtual host of the shared RabbitMQ."""
    return vhosts.take()
