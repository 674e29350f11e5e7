"""An archiver with three supervised workers, shared by many tests or by those of one module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.support.archiver_harness import ArchiverHarness, running_archiver, short
from tests.support.cli_server import CliServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit
    from tests.support.brokers import VhostPool

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the modules that share an archiver last, so that it runs only for them."""
    sharing = {
        item.path
        for item in items
        if "harness" in getattr(item, "fixturenames", ()) and HERE in item.path.parents
    }
    items.sort(key=lambda item: item.path in sharing)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def harness(
    tmp_path_factory: pytest.TempPathFactory, rabbit_server: PrivateRabbit, vhosts: VhostPool
) -> AsyncIterator[ArchiverHarness]:
    """Start an archiver for all modules that leave it unchanged; a start takes 15 s of one core.

    It has its own Redis and a virtual host of the session's RabbitMQ.
    Its logs stay in pytest's folder.
    """
    folder = tmp_path_factory.mktemp("site")
    with PrivateRedis(folder / "redis") as server:
        async with running_archiver(
            folder, redis_server=server, rabbit=rabbit_server, vhost=vhosts.take()
        ) as ready:
            yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_archiver(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
) -> AsyncIterator[ArchiverHarness]:
    """Start an archiver for one module, which can set ROOT keys in SETTINGS."""
    folder = tmp_path_factory.mktemp("site")
    settings = short(**request.module.SETTINGS)
    with PrivateRedis(folder / "redis") as server:
        async with running_archiver(
            folder, settings, redis_server=server, rabbit=rabbit_server, vhost=vhosts.take()
        ) as ready:
            yield ready


@pytest.fixture(scope="package")
def cli_server() -> Iterator[CliServer]:
    """Start the server that runs `ccarchiver`."""
    with CliServer() as ready:
        yield ready


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder with a short name, because the path of a socket must be short."""
    return tmp_path_factory.mktemp("s")
