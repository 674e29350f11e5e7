"""An archiver with three supervised workers for the tests of one module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.brokers import VhostPool, empty
from tests.support.stage import SHORT, Stage, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ccarchiver_sim.brokers import PrivateRabbit, PrivateRedis


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: PrivateRedis,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
) -> AsyncIterator[Stage]:
    """An archiver on the session's brokers, on a virtual host of its own; its logs stay in pytest's folder.

    A module may have ROOT keys of its own in SETTINGS.
    """
    empty(redis_server)
    folder = tmp_path_factory.mktemp("stage")
    settings = {**SHORT, **getattr(request.module, "SETTINGS", {})}
    async with staged(folder, settings, redis_server=redis_server, rabbit=rabbit_server, vhost=vhosts.take()) as ready:
        yield ready


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a temporary folder that is not named after its test: the path of a socket in it must be short."""
    return tmp_path_factory.mktemp("s")
